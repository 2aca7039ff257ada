"""Removals of RBD images in processes that are killed; and what a pool holds, asked directly."""

import asyncio
import multiprocessing
import random
import signal
import time
from collections.abc import Sequence
from multiprocessing.context import ForkServerContext

import ceph as cluster
from ceph import Ceph
from tintype.blobs.rbd import RbdStore
from tintype.errors import Conflict

CONNECTING_SECONDS = 90
TIMEOUT_SECONDS = 30
"""How long an operation on a cluster may take that shares its disk with other tests."""


def left_in(ceph: Ceph) -> list[str]:
    """Return the objects of a pool that belong to an image, also to one in the trash, by RADOS itself."""
    pools = {"rbd_directory", "rbd_info", "rbd_trash", "rbd_children"}
    found = ceph.run("rados", "-p", cluster.POOL, "ls").split()
    trashed = ceph.run("rbd", "trash", "ls", "--all", cluster.POOL).splitlines()
    listed = ceph.run("rbd", "ls", cluster.POOL).split()
    return [name for name in found if name not in pools] + trashed + listed


class Killer:
    """Removes images in other processes and kills these at random moments."""

    def __init__(self, ceph: Ceph, seed: int) -> None:
        self._conf = str(ceph.conf)
        self._chance = random.Random(seed)
        self._processes: ForkServerContext = multiprocessing.get_context("forkserver")
        self._processes.set_forkserver_preload(["removing", "tintype.blobs.rbd"])
        self.kills = 0

    def remove(self, keys: Sequence[str], within: float) -> None:
        """Begin to remove images; kill the process within so many seconds from then, or at its end."""
        ours, theirs = self._processes.Pipe()
        process = self._processes.Process(target=_remove, args=(self._conf, list(keys), theirs))
        process.start()
        theirs.close()  # or a process that failed before it began would be waited for
        assert ours.poll(CONNECTING_SECONDS), "A process does not reach the cluster."
        ours.recv()
        time.sleep(self._chance.uniform(0, within))
        if process.exitcode is None and process.pid is not None:
            process.kill()
        process.join()
        self.kills += process.exitcode == -signal.SIGKILL


def _remove(conf: str, keys: Sequence[str], began: object) -> None:
    asyncio.run(_remove_all(conf, keys, began))


async def _remove_all(conf: str, keys: Sequence[str], began: object) -> None:
    store = RbdStore("rbd", pool=cluster.POOL, user="admin", conf=conf, timeout=TIMEOUT_SECONDS)
    await store.check()
    began.send(None)  # type: ignore[attr-defined]
    for key in keys:
        try:
            await store.delete(key)
        except Conflict:  # the client that was killed before still watches the image
            continue
