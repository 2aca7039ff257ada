"""Removal of RBD images that librbd temporarily does not find: done means the pool has no trace."""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

from tintype.blobs.rbd_removal import remove_image
from tintype.errors import Conflict


class Rbd:
    """Ceph's modules, and a pool of one image of which removals find only a part."""

    RBD_SNAP_NAMESPACE_TYPE_TRASH = 3

    class ImageNotFound(Exception):
        """Raised for an image, or a part of one, that is not there."""

    PermissionError = type("PermissionError", (Exception,), {})

    def __init__(self, *, listed: bool, trashed: bool) -> None:
        self.listed, self.trashed = listed, trashed

    def RBD(self) -> "Rbd":  # noqa: N802 (Ceph's name)
        return self

    @contextlib.contextmanager
    def Image(self, _pool: object, _name: str) -> Iterator[Any]:  # noqa: N802 (Ceph's name)
        yield self

    ReadOpCtx = contextlib.nullcontext

    def id(self) -> str:
        return "1234"

    def list_snaps(self) -> list[Any]:
        return []

    def remove(self, _pool: object, _name: str) -> None:
        raise self.ImageNotFound

    def trash_remove(self, _pool: object, _image_id: str) -> None:
        raise self.ImageNotFound

    def trash_get(self, _pool: object, _image_id: str) -> dict[str, str]:
        if not self.trashed:
            raise self.ImageNotFound
        return {"id": "1234", "name": "tintype-x"}

    def get_omap_vals_by_keys(self, _operation: object, keys: tuple[str, ...]) -> tuple[Any, int]:
        return (dict.fromkeys(keys, b"1234") if self.listed else {}), 0

    def operate_read_op(self, _operation: object, _name: str) -> None:
        """Run what was asked for."""


@pytest.mark.parametrize(("listed", "trashed"), [(True, False), (False, True), (True, True)])
def test_an_image_that_is_still_there_is_not_removed(*, listed: bool, trashed: bool) -> None:
    """Its row stays, and its removal is tried again."""
    ceph = Rbd(listed=listed, trashed=trashed)
    with pytest.raises(Conflict, match="still"):
        remove_image(ceph, ceph, ceph, "tintype-x", is_ours=True)


def test_an_image_that_another_has_removed_is_removed() -> None:
    """Neither the pool's directory nor its trash has it."""
    ceph = Rbd(listed=False, trashed=False)
    remove_image(ceph, ceph, ceph, "tintype-x", is_ours=True)
