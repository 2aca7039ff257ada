"""Images and their data: the methods that need more than one request."""

import contextlib
import os
from collections.abc import AsyncIterator, Collection, Sequence
from pathlib import Path
from typing import IO, Any

from tintype.client import errors, sniffing
from tintype.client.aio import downloads, uploads, waiting
from tintype.client.aio.binding import Group, listing, operation
from tintype.client.aio.transport import Transport
from tintype.client.files import Bytes
from tintype.client.models import Image
from tintype.client.operations import images, imports
from tintype.client.operations import uploads as upload_operations
from tintype.client.progress import Progress


class Images(Group):
    """Images and their data."""

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
        """Return the image with an id or a name. Raises NotFound, and Conflict if several have the name."""
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

    async def find_shared(self, name_or_id: str) -> Image:
        """Return the image with an id or name that another project shares with the caller's, accepted or not.

        Raises NotFound, and Conflict if several have the name.
        """
        try:
            return await self.get(name_or_id)
        except (errors.NotFound, errors.BadRequest):
            pass
        project = (await self._sender.access()).project_id
        found = self.list(name=name_or_id, visibility="shared", member_status="all", limit=100)
        named = [image async for image in found if image.owner != project]
        if len(named) > 1:
            ids = ", ".join(f"{image.id} of project {image.owner}" for image in named[:5])
            raise errors.Conflict(
                f"Several images called {name_or_id!r} are shared with you: {ids}. Use an id.", code=409
            )
        if not named:
            raise errors.NotFound(f"No image {name_or_id!r} is shared with this project.", code=404)
        return named[0]

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
        """Upload the data of a queued image: a path, an open file, bytes, or an iterable of bytes.

        Uses a resumable upload if the data can be read again and the server supports tus: it continues
        after an interruption, even in a later process with the same file. Otherwise uses one request, and
        starts again after an interruption if the data can be read again. `resumable` True requires the
        first way, False the second. `size` in bytes is needed only if the data does not know its own. After
        more than one request the data is checked against the server's digest; `verify` overrides that.

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
        """Stage data for an import with `glance-direct`, in one request."""
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
        """Download the data of an image to a path, or to a writable file object.

        A path is written by `parallel` requests for ranges, sparse where the data is zero. Until it is
        complete and its digest is correct it is called `NAME.part`, and a later call resumes it. A file
        object is written in order; interruptions are resumed. `prefer` lists preferred stores.

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
        """Yield the data of an image in chunks of about 1 MiB; raises DigestMismatch after the last one."""
        return downloads.data(self._sender, image_id, verify=verify, prefer=prefer)

    async def wait(
        self,
        image_id: str,
        *,
        within: float = 3600.0,
        progress: Progress | None = None,
        known: Collection[str] | None = None,
    ) -> Image:
        """Wait until an image is active and none of its tasks is running.

        `progress` is called with the bytes of an import. Raises TransferFailed after `within` seconds, or
        if a task fails meanwhile, is not among the `known` ids, or has left the image without data.
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
        """Create an image from a file; formats are detected, and the default name is the file's.

        After an interruption, pushing the same file again resumes the upload into the same image. If the
        data is refused, the image is deleted again.
        """
        path = Path(path)
        if path.exists() and not path.is_file():
            raise errors.ClientError(
                f"{path} is not a regular file. Use upload() for data that can be read only once."
            )
        name = path.name if name is None else name
        formats = {"disk_format": sniffing.disk_format(path), "container_format": "bare"}
        image = await self._find_unfinished(path, name)
        if image is None:
            image = await self.create(name, store=store, **{**formats, **attributes})
        try:
            await self.upload(image.id, path, store=store, progress=progress)
        except (errors.DigestMismatch, errors.BadRequest, errors.UnsupportedMediaType, errors.OverLimit):
            with contextlib.suppress(errors.ClientError):
                await self.delete(image.id)
            raise
        return await self.get(image.id)

    async def _find_unfinished(self, path: Path, name: str) -> Image | None:
        """Return the queued image that has an unfinished upload of this file."""
        label = upload_operations.metadata(sniffing.label(path))
        async for image in self.list(name=name, status="queued", limit=100):
            try:
                known = await self._sender.send(upload_operations.list_(image.id))
            except errors.HTTPError:
                continue  # another project's image, or a server without resumable uploads
            if any(each.metadata == label for each in known):
                return image
        return None
