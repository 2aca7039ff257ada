"""The client: one service, one caller, its operations by noun."""

import contextlib
import os
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Self, TypeVar

from tintype.client import clouds, errors, identity, sniffing
from tintype.client.aio import downloads, uploads, waiting
from tintype.client.aio.binding import Group, listing, operation
from tintype.client.aio.transport import Transport
from tintype.client.files import Bytes
from tintype.client.models import Image
from tintype.client.operations import (
    cache,
    images,
    imports,
    info,
    locations,
    members,
    metadefs,
    stores,
    tags,
    tasks,
)
from tintype.client.operations import uploads as upload_operations
from tintype.client.progress import Progress
from tintype.client.requests import Listing, Request

T = TypeVar("T")


class AsyncClient:
    """Talks to an image service: a Tintype or any Glance. Use it as a context, or close it.

    Groups: `images`, `members`, `tags`, `tasks`, `stores`, `locations`, `uploads`, `cache`, `metadefs`,
    `info`.
    Every call raises an `errors.HTTPError` where the server refuses, with `code`, `message` and
    `request_id`, and `errors.CommunicationError` where it cannot be reached.
    """

    def __init__(  # noqa: PLR0913  the ways to say who asks and where
        self,
        *,
        cloud: str | None = None,
        session: Any = None,
        adapter: Mapping[str, Any] | None = None,
        endpoint: str | None = None,
        token: str | None = None,
        region_name: str | None = None,
        interface: str | None = None,
        verify: bool | str | None = None,
        cert: str | tuple[str, str] | None = None,
        timeout: float | None = None,
        attempts: int = 5,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Make one of a cloud's name, a keystoneauth `session`, or an `endpoint` with a `token`.

        `adapter` says more of a session: `auth` (a plugin of its own), `service_type`, `service_name`.
        Without any of them the environment says who asks (`OS_CLOUD`, `OS_AUTH_URL` …). `verify` is False
        or a file of authorities; `timeout` is in seconds without a byte, by default the cloud's
        `api_timeout`, else 600; `attempts` is how often a request is sent at most, where repeating it is
        safe; `headers` go with each. Raises InvalidEndpoint.
        """
        if session is not None:
            selection = {"region_name": region_name, "interface": interface, **(adapter or {})}
            who: identity.Identity = identity.Session(session, endpoint=endpoint, **selection)
            found = clouds.Cloud(who, getattr(session, "verify", True), getattr(session, "cert", None))
        elif endpoint is not None and cloud is None and (token or not clouds.is_named(os.environ)):
            found = clouds.at(endpoint, token, os.environ)
        elif token is not None:
            raise errors.InvalidEndpoint("A token needs the endpoint that it is for, and no cloud beside it.")
        else:
            chosen = {"region_name": region_name, "interface": interface, "image_endpoint_override": endpoint}
            found = clouds.find(cloud, os.environ, **chosen)
        self.transport = Transport(
            found.identity,
            verify=found.verify if verify is None else verify,
            cert=cert or found.cert,
            timeout=timeout or found.timeout or 600.0,
            attempts=attempts,
            headers=headers,
        )
        self._make_groups()

    def _make_groups(self) -> None:
        self.images = Images(self.transport)
        self.members = Members(self.transport)
        self.tags = Tags(self.transport)
        self.tasks = Tasks(self.transport)
        self.stores = Stores(self.transport)
        self.locations = Locations(self.transport)
        self.uploads = Uploads(self.transport)
        self.cache = Cache(self.transport)
        self.metadefs = Metadefs(self.transport)
        self.info = Info(self.transport)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_why: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self.transport.close()

    async def send(self, request: Request[T]) -> T:
        """Send a request of `operations` and give what it reads of the answer."""
        return await self.transport.send(request)

    def each(self, listing: Listing[T]) -> AsyncIterator[T]:
        """Go through all pages of a list of `operations`."""
        return self.transport.each(listing)

    async def project_id(self) -> str | None:
        """Give the caller's project, where the identity tells."""
        return (await self.transport.access()).project_id


class Images(Group):
    """Images, with their bytes."""

    _sender: Transport

    list = listing(images.list_)
    get = operation(images.get)
    create = operation(images.create)
    update = operation(images.update)
    patch = operation(images.patch)
    delete = operation(images.delete)
    deactivate = operation(images.deactivate)
    reactivate = operation(images.reactivate)
    tasks = operation(images.tasks)
    import_ = operation(imports.create)
    import_methods = operation(imports.methods)

    async def find(self, name_or_id: str) -> Image:
        """Give the one image of an id or a name. Raises NotFound, Conflict where several have the name."""
        try:
            return await self.get(name_or_id)
        except (errors.NotFound, errors.BadRequest):
            pass
        named = [image async for image in self.list(name=name_or_id, limit=2)]
        if len(named) == 1:
            return named[0]
        if not named:
            raise errors.NotFound(f"There is no image {name_or_id!r} here.", code=404)
        ids = ", ".join(image.id for image in named[:5])
        raise errors.Conflict(f"Several images are called {name_or_id!r}: {ids}. Use an id.", code=409)

    async def upload(
        self,
        image_id: str,
        data: Bytes,
        *,
        size: int | None = None,
        store: str | None = None,
        progress: Progress | None = None,
        resumable: bool | None = None,
        verify: bool | None = None,
    ) -> None:
        """Send the bytes of a queued image: a path, an open file, bytes, or an iterable of bytes.

        Where they can be read again and the server offers tus they are sent so that a broken connection
        costs nothing, also in a later process with the same file; else in one request, again from the start
        where that breaks off and the bytes allow. `resumable` True insists on the first, False on the second.
        `size` in bytes is needed only for what does not know its own. What took more than one request
        is held against the server's digest at the end; `verify` True always does so, False never.

        Raises Conflict (not queued), UnsupportedMediaType (not what `disk_format` says), OverLimit,
        DigestMismatch, CommunicationError (after `attempts` failures without a byte more).
        """
        await uploads.upload(
            self._sender,
            image_id,
            data,
            size=size,
            store=store,
            progress=progress,
            resumable=resumable,
            verify=verify,
        )

    async def stage(
        self, image_id: str, data: Bytes, *, size: int | None = None, progress: Progress | None = None
    ) -> None:
        """Send bytes for an import with `glance-direct`, in one request."""
        await uploads.stage(self._sender, image_id, data, size=size, progress=progress)

    async def download(
        self,
        image_id: str,
        target: str | os.PathLike[str] | IO[bytes],
        *,
        parallel: int = 4,
        progress: Progress | None = None,
        verify: bool = True,
        prefer: Sequence[str] = (),
    ) -> Image:
        """Fetch the bytes of an image into a file, or something to write to.

        A file comes by `parallel` ranges at once, with holes for zeros; until it is whole and its digest is
        right it is called `NAME.part`, from which a later call goes on. What is only written to comes in
        order, from where it broke off. `prefer` names stores to take it from.

        Raises NotFound, Forbidden (deactivated), Conflict (no bytes yet), DigestMismatch,
        CommunicationError (after `attempts` failures without a byte more).
        """
        return await downloads.download(
            self._sender,
            image_id,
            target,
            parallel=parallel,
            progress=progress,
            verify=verify,
            prefer=prefer,
        )

    def data(self, image_id: str, *, verify: bool = True, prefer: Sequence[str] = ()) -> AsyncIterator[bytes]:
        """Give the bytes of an image in pieces of about 1 MiB; raises DigestMismatch behind the last one."""
        return downloads.data(self._sender, image_id, verify=verify, prefer=prefer)

    async def wait(
        self,
        image_id: str,
        *,
        within: float = 3600.0,
        progress: Progress | None = None,
        known: Collection[str] | None = None,
    ) -> Image:
        """Wait until an image is active and no task works on it; `progress` is told the bytes of an import.

        Raises TransferFailed after `within` seconds, or with the server's reason: of a task that failed
        meanwhile, or is not among the `known` ones from before, or has left the image without bytes.
        """
        return await waiting.wait(self._sender, image_id, within=within, progress=progress, known=known)

    async def push(
        self,
        path: str | os.PathLike[str],
        name: str | None = None,
        *,
        store: str | None = None,
        progress: Progress | None = None,
        **attributes: Any,
    ) -> Image:
        """Make an image of a file: its formats are seen from its bytes, its name is the file's.

        The same file pushed again after a break goes on where it was, into the same image. An image whose
        bytes are refused is deleted again.
        """
        path = Path(path)
        if path.exists() and not path.is_file():
            raise errors.ClientError(f"{path} is no file. What can be read only once is sent by upload().")
        name = path.name if name is None else name
        formats = {"disk_format": sniffing.disk_format(path), "container_format": "bare"}
        image = await self._begun(path, name)
        if image is None:
            image = await self.create(name, store=store, **{**formats, **attributes})
        try:
            await self.upload(image.id, path, store=store, progress=progress)
        except (errors.DigestMismatch, errors.BadRequest, errors.UnsupportedMediaType, errors.OverLimit):
            with contextlib.suppress(errors.ClientError):
                await self.delete(image.id)
            raise
        return await self.get(image.id)

    async def _begun(self, path: Path, name: str) -> Image | None:
        """Give the queued image that this file was being sent to."""
        label = upload_operations.metadata(sniffing.label(path))
        async for image in self.list(name=name, status="queued", limit=100):
            try:
                known = await self._sender.send(upload_operations.list_(image.id))
            except errors.HTTPError:
                continue  # not ours, or a server without resumable uploads
            if any(each.metadata == label for each in known):
                return image
        return None


class Members(Group):
    """Projects that images are shared with."""

    list = operation(members.list_)
    get = operation(members.get)
    create = operation(members.create)
    update = operation(members.update)
    delete = operation(members.delete)


class Tags(Group):
    """Tags of images."""

    add = operation(tags.add)
    remove = operation(tags.remove)


class Tasks(Group):
    """Work on the server."""

    list = listing(tasks.list_)
    get = operation(tasks.get)
    create = operation(tasks.create)
    cancel = operation(tasks.cancel)


class Stores(Group):
    """Where bytes are."""

    list = operation(stores.list_)
    list_detailed = operation(stores.list_detailed)
    delete_copy = operation(stores.delete_copy)


class Locations(Group):
    """Bytes that are somewhere already."""

    list = operation(locations.list_)
    add = operation(locations.add)


class Uploads(Group):
    """Resumable uploads, one step at a time; `images.upload` does all of it."""

    list = operation(upload_operations.list_)
    create = operation(upload_operations.create)
    offset = operation(upload_operations.offset)
    delete = operation(upload_operations.delete)


class Cache(Group):
    """The cache of a node."""

    show = operation(cache.show)
    queue = operation(cache.queue)
    delete = operation(cache.delete)
    clear = operation(cache.clear)
    clean = operation(cache.clean)
    prune = operation(cache.prune)
    nodes = operation(cache.nodes)


class Info(Group):
    """What the server is."""

    versions = operation(info.versions)
    schema = operation(info.schema)
    usage = operation(info.usage)


class Metadefs(Group):
    """Metadata definitions."""

    list_namespaces = listing(metadefs.list_namespaces)
    get_namespace = operation(metadefs.get_namespace)
    create_namespace = operation(metadefs.create_namespace)
    update_namespace = operation(metadefs.update_namespace)
    delete_namespace = operation(metadefs.delete_namespace)
    list_properties = operation(metadefs.list_properties)
    get_property = operation(metadefs.get_property)
    create_property = operation(metadefs.create_property)
    update_property = operation(metadefs.update_property)
    delete_property = operation(metadefs.delete_property)
    delete_properties = operation(metadefs.delete_properties)
    list_objects = operation(metadefs.list_objects)
    get_object = operation(metadefs.get_object)
    create_object = operation(metadefs.create_object)
    update_object = operation(metadefs.update_object)
    delete_object = operation(metadefs.delete_object)
    delete_objects = operation(metadefs.delete_objects)
    list_tags = operation(metadefs.list_tags)
    get_tag = operation(metadefs.get_tag)
    create_tag = operation(metadefs.create_tag)
    create_tags = operation(metadefs.create_tags)
    update_tag = operation(metadefs.update_tag)
    delete_tag = operation(metadefs.delete_tag)
    delete_tags = operation(metadefs.delete_tags)
    list_resource_types = operation(metadefs.list_resource_types)
    list_associations = operation(metadefs.list_associations)
    associate = operation(metadefs.associate)
    dissociate = operation(metadefs.dissociate)
