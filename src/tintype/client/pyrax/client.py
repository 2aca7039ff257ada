"""`ImageClient`, as pyrax has it."""

import functools
import weakref
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from tintype.client.blocking.client import Client
from tintype.client.files import Bytes
from tintype.client.pyrax import exceptions
from tintype.client.pyrax.managers import (
    ImageManager,
    Images,
    ImageTasksManager,
    JSONSchemaManager,
    Members,
    Tasks,
    id_of,
)
from tintype.client.pyrax.resources import Image, ImageMember, ImageTask
from tintype.client.requests import Reply, Request

T = TypeVar("T")


def assure_image(method: Callable[..., T]) -> Callable[..., T]:
    """Decorate a method that takes an image so that it accepts an id, too."""

    @functools.wraps(method)
    def wrapped(self: "ImageClient", img: Any, *args: Any, **kwargs: Any) -> T:
        image = img if isinstance(img, Image) else self.get(img)
        return method(self, image, *args, **kwargs)

    return wrapped


class ImageClient:
    """Images, their members, tags and tasks, and the schemas."""

    name = "Images"

    def __init__(self, **options: Any) -> None:
        """Create a client from a `cloud` name, a `session`, or an `endpoint` and a `token`, like `Client`."""
        self.api = Client(**options)
        weakref.finalize(self.api, self.api.transport.close)  # these clients are never closed
        self._manager = ImageManager(self.api)
        self._tasks_manager = ImageTasksManager(self.api)
        self._schema_manager = JSONSchemaManager(self.api)

    @property
    def projectid(self) -> str | None:
        """Return the caller's project."""
        return self.api.project_id()

    def authenticate(self) -> None:
        """Log in now rather than with the first request."""
        self.api.transport.access()

    def list(self, *args: Any, **filters: Any) -> Images:
        """List one page of images; filters and sorting as of `ImageManager.list`."""
        found: Images = self._manager.list(*args, **filters)
        return found

    def list_all(self, *args: Any, **filters: Any) -> Images:
        """List all images; filters and sorting as of `ImageManager.list_all`."""
        return self._manager.list_all(*args, **filters)

    def get(self, item: Any) -> Image:
        """Show an image."""
        return self._manager.get(item)

    def find(self, **attributes: Any) -> Image:
        """Return the one image with these attributes. Raises NotFound, NoUniqueMatch."""
        found = self.findall(**attributes)
        if not found:
            raise exceptions.NotFound(f"No image matches {attributes}.", code=404)
        if len(found) > 1:
            raise exceptions.NoUniqueMatch(f"{len(found)} images match {attributes}.", code=400)
        return found[0]

    def findall(self, **attributes: Any) -> Images:
        """List the images with these attributes, of all pages."""
        return [
            image
            for image in self._manager.list_all()
            if all(getattr(image, name, None) == value for name, value in attributes.items())
        ]

    def create(
        self,
        name: str,
        img_format: str | None = None,
        data: Bytes | None = None,
        container: Any = None,
        obj: Any = None,
        metadata: Mapping[str, str] | None = None,
        img_container_format: str | None = None,
    ) -> Image:
        """Create an image and send its bytes, if there are any."""
        return self._manager.create(
            name,
            img_format,
            img_container_format,
            data=data,
            container=container,
            obj=obj,
            metadata=metadata,
        )

    def update(self, img: Any, value_dict: Mapping[str, Any]) -> None:
        """Set attributes and properties of an image."""
        self._manager.update(img, value_dict)

    def delete(self, item: Any) -> None:
        """Delete an image."""
        self._manager.delete(item)

    def change_image_name(self, img: Any, newname: str) -> None:
        """Rename an image."""
        self.update(img, {"name": newname})

    def list_image_members(self, img: Any) -> Members:
        """List the members of an image."""
        return self._manager.members(img).list()

    def get_image_member(self, img: Any, member: Any) -> ImageMember:
        """Show a member."""
        return self._manager.members(img).get(member)

    def add_image_member(self, img: Any, project_id: str) -> ImageMember:
        """Share an image with a project; raises UnsharableImage if that is refused."""
        return self._manager.members(img).create(project_id)

    def delete_image_member(self, img: Any, project_id: Any) -> None:
        """Stop sharing an image with a project."""
        self._manager.members(img).delete(project_id)

    def update_image_member(self, img_id: Any, status: str) -> None:
        """Set the status of a member. Raises InvalidImageMember, InvalidImageMemberStatus."""
        self._manager.update_image_member(img_id, status)

    def add_image_tag(self, img: Any, tag: str) -> None:
        """Add a tag to an image."""
        self._manager.tags(img).add(tag)

    def delete_image_tag(self, img: Any, tag: str) -> None:
        """Remove a tag from an image."""
        self._manager.tags(img).delete(tag)

    def list_tasks(self) -> Tasks:
        """List tasks."""
        return self._tasks_manager.list()

    def get_task(self, task: Any) -> ImageTask:
        """Show a task."""
        return self._tasks_manager.get(task)

    def export_task(self, img: Any, cont: Any) -> ImageTask:
        """Begin to export an image into a container."""
        return self._tasks_manager.create("export", img=id_of(img), cont=cont)

    def import_task(
        self, img: Any, cont: Any, img_format: str | None = None, img_name: str | None = None
    ) -> ImageTask:
        """Begin to import an object of a container as an image."""
        return self._tasks_manager.create(
            "import", img=img, cont=cont, img_format=img_format, img_name=img_name
        )

    def get_images_schema(self) -> dict[str, Any]:
        """Show the schema of lists of images."""
        return self._schema_manager.images()

    def get_image_schema(self) -> dict[str, Any]:
        """Show the schema of an image."""
        return self._schema_manager.image()

    def get_image_members_schema(self) -> dict[str, Any]:
        """Show the schema of lists of members."""
        return self._schema_manager.image_members()

    def get_image_member_schema(self) -> dict[str, Any]:
        """Show the schema of a member."""
        return self._schema_manager.image_member()

    def get_image_tasks_schema(self) -> dict[str, Any]:
        """Show the schema of lists of tasks."""
        return self._schema_manager.image_tasks()

    def get_image_task_schema(self) -> dict[str, Any]:
        """Show the schema of a task."""
        return self._schema_manager.image_task()

    def method_head(self, uri: str, **kwargs: Any) -> tuple[Reply, Any]:
        """Send a HEAD to `uri`, below /v2; return the response and its JSON, like the methods below."""
        return self._method("HEAD", uri, **kwargs)

    def method_get(self, uri: str, **kwargs: Any) -> tuple[Reply, Any]:
        """Send a GET."""
        return self._method("GET", uri, **kwargs)

    def method_post(self, uri: str, **kwargs: Any) -> tuple[Reply, Any]:
        """Send a POST with `body` as JSON."""
        return self._method("POST", uri, **kwargs)

    def method_put(self, uri: str, **kwargs: Any) -> tuple[Reply, Any]:
        """Send a PUT with `body` as JSON."""
        return self._method("PUT", uri, **kwargs)

    def method_patch(self, uri: str, **kwargs: Any) -> tuple[Reply, Any]:
        """Send a PATCH with `body` as JSON."""
        return self._method("PATCH", uri, **kwargs)

    def method_delete(self, uri: str, **kwargs: Any) -> tuple[Reply, Any]:
        """Send a DELETE."""
        return self._method("DELETE", uri, **kwargs)

    def _method(
        self, method: str, uri: str, headers: Mapping[str, str] | None = None, body: Any = None
    ) -> tuple[Reply, Any]:
        target = f"/v2/{uri.lstrip('/').removeprefix('v2/')}"
        request = Request(method, target, lambda reply: reply, headers=headers or {}, body=body)
        reply = self.api.send(request)
        return reply, reply.json() if "json" in reply.headers.get("content-type", "") else None
