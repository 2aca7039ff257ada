"""Managers by pyrax's names: operations on images and what belongs to them."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, Final

from tintype.client.blocking.client import Client
from tintype.client.files import Bytes
from tintype.client.operations import images, info, members, tags, tasks
from tintype.client.pyrax import exceptions
from tintype.client.pyrax.resources import Image, ImageMember, ImageTask
from tintype.client.requests import Listing, Page, Reply, Request, pointer, whole

DEFAULT_FORMAT: Final = "vhd"
_STATUSES: Final = ("pending", "accepted", "rejected")
Images = list[Image]
"""By another name: managers have a method called list."""


def id_of(item: Any) -> str:
    """Return the id of a resource, or the given id; raises MissingName if there is none."""
    found = item if isinstance(item, str) else getattr(item, "id", None)
    if found is None:
        raise exceptions.MissingName(f"This has no id: {item!r}")
    return str(found)


def name_of(item: Any) -> str:
    """Return the name of a container, or the given name; raises MissingName if there is none."""
    found = item if isinstance(item, str) else getattr(item, "name", None)
    if found is None:
        raise exceptions.MissingName(f"This has no name: {item!r}")
    return str(found)


class Manager:
    """The base of managers: sends operations and returns resources."""

    def __init__(self, api: Client) -> None:
        self.api = api

    def _raw(self, request: Request[Any]) -> Any:
        """Send an operation and return its JSON unchanged."""
        return self.api.send(dataclasses.replace(request, read=whole))


class ImageManager(Manager):
    """Images."""

    def list(
        self,
        limit: int | None = None,
        marker: Any = None,
        name: str | None = None,
        visibility: str | None = None,
        member_status: str | None = None,
        owner: str | None = None,
        tag: str | Iterable[str] | None = None,
        status: str | None = None,
        size_min: int | None = None,
        size_max: int | None = None,
        sort_key: str | None = None,
        sort_dir: str | None = None,
        return_raw: bool = False,
    ) -> Any:
        """List one page of images (the server's 25, or `limit`), behind the image `marker`.

        `return_raw` gives the server's JSON: a dict with `images` and, where there are more, `next`.
        """
        body = self._raw(
            images.list_(
                limit=limit,
                marker=None if marker is None else id_of(marker),
                name=name,
                visibility=visibility,
                member_status=member_status,
                owner=owner,
                tag=tag,
                status=status,
                size_min=size_min,
                size_max=size_max,
                sort_key=sort_key,
                sort_dir=sort_dir,
            )
        )
        return body if return_raw else self._images(body)

    def list_all(
        self,
        name: str | None = None,
        visibility: str | None = None,
        member_status: str | None = None,
        owner: str | None = None,
        tag: str | Iterable[str] | None = None,
        status: str | None = None,
        size_min: int | None = None,
        size_max: int | None = None,
        sort_key: str | None = None,
        sort_dir: str | None = None,
    ) -> Images:
        """List all images, whatever number of pages they are on."""
        asked = images.list_(
            name=name,
            visibility=visibility,
            member_status=member_status,
            owner=owner,
            tag=tag,
            status=status,
            size_min=size_min,
            size_max=size_max,
            sort_key=sort_key,
            sort_dir=sort_dir,
        )
        raw = Listing(asked.method, asked.path, _page, asked.query)
        return [Image(self, each) for each in self.api.each(raw)]

    def get(self, item: Any) -> Image:
        """Show an image."""
        return Image(self, self._raw(images.get(id_of(item))), loaded=True)

    def create(
        self,
        name: str,
        img_format: str | None = None,
        img_container_format: str | None = None,
        data: Bytes | None = None,
        container: Any = None,
        obj: Any = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Image:
        """Create an image and send its bytes, if there are any: `data`, or what an object gives by `get()`.

        `obj` is an object, or the name of one in `container`, which gives it by `get_object(name)`.
        `metadata` are its properties. (In pyrax this spoke version 1 and works with no server of today.)
        """
        if data is None and obj is not None:
            if isinstance(obj, str):
                obj = container.get_object(obj)
            data = obj.get()
        made = self.api.images.create(
            name,
            disk_format=img_format or DEFAULT_FORMAT,
            container_format=img_container_format or "bare",
            properties=metadata,
        )
        if data is not None:
            self.api.images.upload(made.id, data)
        return self.get(made.id)

    def update(self, img: Any, value_dict: Mapping[str, Any]) -> None:
        """Set attributes and properties of an image.

        A fresh copy is read first: what it has is replaced, what it lacks is added, because old servers
        answer 409 to an `add` of what is there.
        """
        fresh = self._raw(images.get(id_of(img)))
        changes = [
            {"op": "replace" if name in fresh else "add", "path": pointer(name), "value": value}
            for name, value in value_dict.items()
        ]
        self.api.send(images.patch(id_of(img), changes))

    def delete(self, item: Any) -> None:
        """Delete an image."""
        self.api.send(images.delete(id_of(item)))

    def update_image_member(self, img_id: Any, status: str) -> None:
        """Say pending, accepted or rejected of an image that is shared with the caller's project.

        Raises InvalidImageMemberStatus for any other word, before anything is sent, and
        InvalidImageMember where the image is not shared with the project; for its owner, too.
        """
        if status not in _STATUSES:
            raise exceptions.InvalidImageMemberStatus(
                f"The status of a member is one of {', '.join(_STATUSES)}, not {status!r}."
            )
        project = self.api.project_id()
        if project is None:
            raise exceptions.InvalidImageMember("The identity does not tell the caller's project.")
        try:
            self.api.send(members.update(id_of(img_id), project, status))
        except exceptions.NotFound:
            raise exceptions.InvalidImageMember(
                f"Project {project} is not a member of image {id_of(img_id)}."
            ) from None

    def members(self, img: Any) -> "ImageMemberManager":
        """Return the manager of an image's members."""
        return ImageMemberManager(self.api, id_of(img))

    def tags(self, img: Any) -> "ImageTagManager":
        """Return the manager of an image's tags."""
        return ImageTagManager(self.api, id_of(img))

    def _images(self, body: Mapping[str, Any]) -> Images:
        return [Image(self, each) for each in body["images"]]


class ImageMemberManager(Manager):
    """Members of an image."""

    def __init__(self, api: Client, image_id: str) -> None:
        super().__init__(api)
        self._image = image_id

    def list(self) -> "Members":
        """List the members of the image."""
        body = self._raw(members.list_(self._image))
        return [ImageMember(self, each, loaded=True) for each in body["members"]]

    def get(self, item: Any) -> ImageMember:
        """Show a member."""
        return ImageMember(self, self._raw(members.get(self._image, id_of(item))), loaded=True)

    def create(self, name: str) -> ImageMember:
        """Share the image with a project; raises UnsharableImage if that is refused."""
        try:
            return ImageMember(self, self._raw(members.create(self._image, name)), loaded=True)
        except exceptions.Forbidden as refused:
            raise exceptions.UnsharableImage(f"Image {self._image} cannot be shared: {refused}") from None

    def delete(self, item: Any) -> None:
        """Share the image no more with a project."""
        self.api.send(members.delete(self._image, id_of(item)))


class ImageTagManager:
    """Tags of an image."""

    def __init__(self, api: Client, image_id: str) -> None:
        self._api = api
        self._image = image_id

    def add(self, tag: str) -> None:
        """Add a tag to the image."""
        self._api.send(tags.add(self._image, tag))

    def delete(self, tag: str) -> None:
        """Remove a tag from the image."""
        self._api.send(tags.remove(self._image, tag))


class ImageTasksManager(Manager):
    """Tasks."""

    def list(self) -> "Tasks":
        """List one page of tasks."""
        return [ImageTask(self, each) for each in self._raw(tasks.list_())["tasks"]]

    def get(self, item: Any) -> ImageTask:
        """Show a task."""
        return ImageTask(self, self._raw(tasks.get(id_of(item))), loaded=True)

    def create(
        self,
        name: str,
        *,
        img: Any,
        cont: Any,
        img_format: str | None = None,
        img_name: str | None = None,
    ) -> ImageTask:
        """Begin an `export` of an image into a container, or an `import` of an object in one."""
        given: dict[str, Any]
        if name == "export":
            given = {"image_uuid": id_of(img), "receiving_swift_container": name_of(cont)}
        else:
            given = {
                "image_properties": {"name": img_name or name_of(img)},
                "import_from": f"{name_of(cont)}/{name_of(img)}",
                "import_from_format": img_format or DEFAULT_FORMAT,
            }
        return ImageTask(self, self._raw(tasks.create(name, given)), loaded=True)


class JSONSchemaManager:
    """JSON schemas of the server."""

    def __init__(self, api: Client) -> None:
        self._api = api

    def images(self) -> dict[str, Any]:
        """Show the schema of lists of images."""
        return self._api.send(info.schema("images"))

    def image(self) -> dict[str, Any]:
        """Show the schema of an image."""
        return self._api.send(info.schema("image"))

    def image_members(self) -> dict[str, Any]:
        """Show the schema of lists of members."""
        return self._api.send(info.schema("members"))

    def image_member(self) -> dict[str, Any]:
        """Show the schema of a member."""
        return self._api.send(info.schema("member"))

    def image_tasks(self) -> dict[str, Any]:
        """Show the schema of lists of tasks."""
        return self._api.send(info.schema("tasks"))

    def image_task(self) -> dict[str, Any]:
        """Show the schema of a task."""
        return self._api.send(info.schema("task"))


Members = list[ImageMember]
Tasks = list[ImageTask]


def _page(reply: Reply) -> Page[dict[str, Any]]:
    body = reply.json()
    return Page(body["images"], body.get("next"))
