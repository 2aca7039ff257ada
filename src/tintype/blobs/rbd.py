"""Blobs as images in a Ceph pool, each with a protected snapshot `snap`: what Nova clones to boot from.

The bindings are Ceph's own (`python3-rbd`, `python3-rados` of the distribution). They block,
so every call runs in a thread; calls fail after the timeout if the cluster does not answer. An image without
the snapshot is half-written.
"""

import asyncio
import contextlib
import functools
import math
import os
import sys
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Concatenate, Final, ParamSpec, TypeVar
from urllib.parse import quote, unquote

from tintype.blobs.base import name_in_store
from tintype.blobs.cancellation import shielded
from tintype.blobs.failures import service_failure
from tintype.blobs.rbd_removal import remove_image, remove_snapshots
from tintype.blobs.reading import read_ahead
from tintype.blobs.stream import wait_finished
from tintype.errors import Conflict, Gone, NotFound, OverLimit, StartError, TintypeError, Unavailable

_DISTRIBUTION: Final = "/usr/lib/python3/dist-packages"
_PREFIX: Final = "tintype-"
"""Prefix of the service's images: a pool may contain others."""
_SNAPSHOT: Final = "snap"
_ORDER: Final = 23
"""Objects of 8 MiB, as in Glance."""
_BLOCK: Final = 4 << 20
_GROWTH: Final = 1 << 30
_THREADS: Final = 16
_PAUSE_SECONDS: Final = 3.0

P = ParamSpec("P")
T = TypeVar("T")


class RbdStore:
    """The images of one pool."""

    type = "rbd"

    def __init__(self, store_id: str, *, pool: str, user: str, conf: str, timeout: int) -> None:
        """Create a store; raises StartError if the bindings or Ceph's configuration are missing."""
        self.id = store_id
        self._rados, self.rbd = _bindings()
        if not os.access(conf, os.R_OK):
            raise StartError(f"The store '{store_id}' cannot read Ceph's configuration file {conf}.")
        self._pool = pool
        self._user = user
        self._conf = conf
        self._timeout = timeout
        self._threads = ThreadPoolExecutor(_THREADS, f"rbd-{store_id}")  # a silent cluster blocks only these
        self._connecting = asyncio.Lock()
        self._failed_at = -math.inf
        self._failure: Unavailable | None = None
        self._fsid: str | None = None
        self._cluster: Any = None
        self._pool_io: Any = None

    async def create(self, key: str, size: int | None) -> "_RbdWriter":
        """Start writing."""
        return _RbdWriter(self, key, size)

    async def resume(self, key: str, offset: int, size: int) -> "_RbdWriter":
        """Continue writing at an offset."""
        writer = _RbdWriter(self, key, size)
        if offset == 0:
            await self.delete(key)
        else:
            try:
                await self.run(writer.reopen, offset)
            except NotFound:
                raise Gone("The data received so far no longer exists.") from None
        return writer

    async def read(self, key: str, start: int, stop: int) -> AsyncIterator[bytes]:
        """Yield the bytes in chunks, with some of them read ahead."""
        image = await self.run(self._open_snapshot, key)

        async def read(offset: int, length: int) -> bytes:
            return await self.run(lambda _pool: bytes(image.read(offset, length)))

        try:
            async with contextlib.aclosing(read_ahead(read, start, stop, block=_BLOCK)) as chunks:
                async for chunk in chunks:
                    yield chunk
        finally:
            with contextlib.suppress(TintypeError):  # the outcome of the reading is raised, not this
                await shielded(self.run(lambda _pool: image.close()))

    async def size(self, key: str) -> int | None:
        """Return the number of bytes, or None if there are none."""
        try:
            return await self.run(self._size, key)
        except NotFound:
            return None

    async def delete(self, key: str) -> None:
        """Delete the image and what an interrupted removal left of it.

        Raises Conflict if it has clones or is in use, and while the pool's trash keeps it.
        """
        await self.run(self._delete, key)

    async def in_use(self, key: str) -> bool:
        """Return whether there are clones."""
        try:
            return await self.run(self._has_clones, key)
        except NotFound:
            return False

    async def url(self, key: str) -> str:
        """Return the URL by which Nova and Cinder clone an image: cluster, pool, image, snapshot."""
        name = quote(name_in_store(key, _PREFIX + key), safe="")
        return f"{await self._url_prefix()}{name}/{_SNAPSHOT}"

    async def properties(self) -> dict[str, Any]:
        """Return the store's properties; from pool and cluster Nova and Cinder see that they can clone."""
        fsid = (await self._url_prefix()).split("/")[2]
        made = {"chunk_size": 1 << _ORDER, "thin_provisioning": False}
        return {"pool": self._pool, "fsid": fsid, **made}

    async def place(self, url: str) -> str | None:
        """Return the name of an image in this pool, with a snapshot, that the service has not made."""
        root = await self._url_prefix()
        name, _, snapshot = url.removeprefix(root).rpartition("/")
        name = unquote(name)
        ours = url.startswith(root) and snapshot == _SNAPSHOT and not name.startswith(_PREFIX)
        return name if ours and name and "/" not in name else None

    async def keys(self) -> AsyncIterator[str]:
        """Yield the key of every image of the service, also of those in the pool's trash."""
        for name in await self.run(self._names):
            if name.startswith(_PREFIX):
                yield name.removeprefix(_PREFIX)

    async def check(self) -> None:
        """Look up the pool's directory of images, which tests the user, its key, the pool and its rights."""
        await self.run(self._check_directory)

    async def close(self) -> None:
        """Disconnect from the cluster."""
        if self._cluster is not None:
            await self._in_thread(self._pool_io.close)
            await self._in_thread(self._cluster.shutdown)
            self._cluster = self._pool_io = None
        self._threads.shutdown(wait=False)

    async def run(self, call: Callable[Concatenate[Any, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a call with the pool in a thread; map Ceph's errors to the service's errors."""
        try:
            async with self._connecting:
                if self._cluster is None:
                    await self._connect_once()
            return await self._in_thread(call, self._pool_io, *args, **kwargs)
        except self.rbd.ImageNotFound as error:
            await self._in_thread(self._check_directory, self._pool_io)  # a missing pool has no image either
            raise NotFound("The stored bytes are missing.") from error
        except (self.rbd.ImageBusy, self.rbd.ImageHasSnapshots) as error:
            raise Conflict("The image is in use in its store.") from error
        except (self.rbd.DiskQuotaExceeded, self._rados.NoSpace) as error:
            raise OverLimit("Image storage media is full.") from error
        except (self.rbd.Error, self._rados.Error) as error:
            raise self._unavailable(f"cannot be used: {service_failure(error)}") from error

    def open(self, pool: Any, key: str, snapshot: str | None = None) -> Any:
        """Open an image; one with a snapshot is read-only."""
        read_only = snapshot is not None
        return self.rbd.Image(pool, name_in_store(key, _PREFIX + key), snapshot=snapshot, read_only=read_only)

    def make(self, pool: Any, key: str, size: int) -> Any:
        """Create an image, replacing a half-written one, and open it."""
        self.rbd.RBD().create(pool, _PREFIX + key, size, order=_ORDER, old_format=False)
        return self.open(pool, key)

    async def _connect_once(self) -> None:
        """Connect once; callers that waited for a failed attempt get its error at once."""
        if time.monotonic() < self._failed_at + _PAUSE_SECONDS:
            failed = "" if self._failure is None else self._failure.message
            raise Unavailable(failed, retry_after=5) from self._failure
        try:
            await self._in_thread(self._connect)
        except Unavailable as error:
            self._failed_at, self._failure = time.monotonic(), error
            raise

    async def _in_thread(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        work = functools.partial(call, *args, **kwargs)
        return await wait_finished(asyncio.get_running_loop().run_in_executor(self._threads, work))

    def _connect(self) -> None:
        settings = {
            "client_mount_timeout": str(self._timeout),
            "rados_mon_op_timeout": str(self._timeout),
            "rados_osd_op_timeout": str(self._timeout),
        }
        try:
            cluster = self._rados.Rados(conffile=self._conf, rados_id=self._user, conf=settings)
        except self._rados.Error as error:
            raise self._unavailable("cannot read Ceph's configuration") from error
        try:
            cluster.connect(timeout=self._timeout)
        except self._rados.Error as error:
            raise self._connection_refused(error, cluster.conf_get("keyring") or "") from error
        try:
            self._pool_io = cluster.open_ioctx(self._pool)
        except BaseException as error:
            cluster.shutdown()
            if isinstance(error, self._rados.ObjectNotFound):
                raise self._unavailable(f"has no pool '{self._pool}' in its cluster") from error
            raise
        self._cluster = cluster

    def _connection_refused(self, error: Exception, keyrings: str) -> Unavailable:
        """Return why the cluster refused the connection."""
        user = f"client.{self._user}"
        match error:
            case self._rados.ObjectNotFound():
                return self._unavailable(f"finds no keyring for the Ceph user {user}")
            case self._rados.PermissionError():
                return self._unavailable(f"finds no key of the Ceph user {user} in its keyring")
            case self._rados.PermissionDeniedError() if not _has_key(keyrings, user):
                return self._unavailable(f"finds no key of the Ceph user {user} in its keyring")
            case self._rados.PermissionDeniedError():
                return self._unavailable(
                    f"is not allowed to log in: the cluster has no Ceph user {user} with this key"
                )
            case self._rados.IOError():
                return self._unavailable(f"cannot read the keyring of the Ceph user {user}")
            case _:
                return self._unavailable(f"cannot be used: {service_failure(error)}")

    def _unavailable(self, what: str) -> Unavailable:
        failure = Unavailable(f"The store '{self.id}' {what}.", retry_after=5)
        failure.add_note(f"pool {self._pool}, user client.{self._user}, configuration {self._conf}")
        return failure

    def _check_directory(self, pool: Any) -> None:
        try:
            pool.stat("rbd_directory")
        except self._rados.ObjectNotFound as error:  # the pool is gone, or has never had an image
            self._check_pool(pool, error)
        except (self._rados.PermissionError, self._rados.PermissionDeniedError) as error:
            failure = self._unavailable("may not read its pool")
            failure.add_note(
                f"it needs: ceph auth caps client.{self._user} mon 'profile rbd' osd 'profile rbd'"
            )
            raise failure from error

    def _check_pool(self, pool: Any, error: Exception) -> None:
        """Raise Unavailable if the pool was deleted; if it was created anew, use it from now on."""
        there = self._cluster.pool_lookup(self._pool)
        if there is None:
            raise self._unavailable(f"has no pool '{self._pool}' in its cluster") from error
        if there != pool.get_pool_id():
            self._pool_io = self._cluster.open_ioctx(self._pool)
            raise self._unavailable(f"had its pool '{self._pool}' created anew") from error

    def _open_snapshot(self, pool: Any, key: str) -> Any:
        return self.open(pool, key, _SNAPSHOT)

    def _size(self, pool: Any, key: str) -> int:
        with self._open_snapshot(pool, key) as image:
            return int(image.size())

    def _has_clones(self, pool: Any, key: str) -> bool:
        with self._open_snapshot(pool, key) as image:
            return next(iter(image.list_children2()), None) is not None

    def _delete(self, pool: Any, key: str) -> None:
        name = name_in_store(key, _PREFIX + key)
        try:
            remove_image(self.rbd, self._rados, pool, name, is_ours=name.startswith(_PREFIX))
        except self._rados.ObjectNotFound as error:
            self._check_pool(pool, error)

    async def _url_prefix(self) -> str:
        """Return the beginning of URLs; the cluster is asked for its id once."""
        if self._fsid is None:
            self._fsid = await self.run(lambda _pool: str(self._cluster.get_fsid()))
        return f"rbd://{self._fsid}/{quote(self._pool, safe='')}/"

    def _names(self, pool: Any) -> list[str]:
        self._check_directory(pool)
        names = {str(name) for name in self.rbd.RBD().list(pool)}
        return sorted(names | {str(entry["name"]) for entry in self.rbd.RBD().trash_list(pool)})


class _RbdWriter:
    def __init__(self, store: RbdStore, key: str, size: int | None) -> None:
        self._store = store
        self._key = key
        self._size = size
        self._offset = 0
        self._length = 0
        self._image: Any = None

    def reopen(self, pool: Any, offset: int) -> None:
        """Open the image written before, complete or not."""
        self._image = self._store.open(pool, self._key)
        remove_snapshots(self._store.rbd, self._image)
        self._length = int(self._image.size())
        self._offset = offset

    async def write(self, data: memoryview) -> None:
        """Append bytes."""
        await self._store.run(self._write, bytes(data))

    async def flush(self) -> None:
        """Flush the bytes written so far to the cluster."""
        if self._image is not None:
            await self._store.run(lambda _pool: self._image.flush())

    async def commit(self) -> None:
        """Truncate the image to its size, then take the snapshot that marks it as complete."""
        await self._store.run(self._commit)
        await self.close()

    async def close(self) -> None:
        """Close the image: one that is open cannot be deleted."""
        if self._image is not None:
            image, self._image = self._image, None
            await self._store.run(lambda _pool: image.close())

    def _write(self, pool: Any, data: bytes) -> None:
        end = self._offset + len(data)
        if self._image is None:
            self._length = max(self._size or 0, end)
            self._image = self._store.make(pool, self._key, self._length)
        elif end > self._length:
            self._length = max(end, self._length + min(self._length, _GROWTH))
            self._image.resize(self._length)
        self._image.write(data, self._offset)
        self._offset = end

    def _commit(self, pool: Any) -> None:
        if self._image is None:
            self._image = self._store.make(pool, self._key, 0)
        self._image.flush()
        if self._length != self._offset:
            self._image.resize(self._offset)
        self._image.create_snap(_SNAPSHOT)
        self._image.protect_snap(_SNAPSHOT)


@functools.cache
def _bindings() -> tuple[Any, Any]:
    """Return Ceph's modules, which a virtual environment does not find by itself."""
    if _DISTRIBUTION not in sys.path:
        sys.path.append(_DISTRIBUTION)
    try:
        import rados
        import rbd
    except ImportError as error:
        raise StartError(
            f"A store of type rbd needs Ceph's Python bindings ({error}). Run: "
            f"apt-get install python3-rbd python3-rados. They are built for the Python of the distribution, "
            f"{_DISTRIBUTION}; this process runs Python {sys.version_info[0]}.{sys.version_info[1]}."
        ) from error
    return rados, rbd


def _has_key(keyrings: str, user: str) -> bool:
    """Return whether one of the keyrings (paths with commas between) has a section for the user.

    Without a key librados reports either error, depending on what the monitor answers first.
    """
    for path in keyrings.split(","):
        try:
            if f"[{user}]" in Path(path.strip()).read_text(errors="replace"):
                return True
        except OSError:
            continue
    return False
