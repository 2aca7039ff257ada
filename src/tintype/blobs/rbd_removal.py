"""Removal of RBD images, in whatever state an earlier removal has left them.

A removal that is killed leaves a snapshot in the image's trash, or the image in the pool's: then it is listed
but cannot be opened, and librbd continues the removal by its name. If librbd does not find an image, that
does not prove that it is gone: the pool's directory and trash are checked at the end. `rbd` and `rados` are
Ceph's modules, `pool` is an I/O context; all of it blocks.
"""

import contextlib
from typing import Any

from tintype.errors import Conflict


def remove_image(rbd: Any, rados: Any, pool: Any, name: str, *, is_ours: bool) -> None:
    """Remove an image, and return only once the pool no longer has it.

    Raises Conflict if the pool has to keep it for now, rados.ObjectNotFound if the pool has no directory.
    """
    image_id = None
    with contextlib.suppress(rbd.ImageNotFound), rbd.Image(pool, name) as image:
        image_id = image.id()
        remove_snapshots(rbd, image)
    with contextlib.suppress(rbd.ImageNotFound):
        rbd.RBD().remove(pool, name)
    if image_id is not None:
        _remove_from_trash(rbd, pool, image_id)
    elif is_ours:  # names of external images may have been reused
        for entry in rbd.RBD().trash_list(pool):
            if entry["name"] == name:
                _remove_from_trash(rbd, pool, entry["id"])
    if _is_listed(rados, pool, name):
        raise Conflict("The pool still lists the image.")


def remove_snapshots(rbd: Any, image: Any) -> None:
    """Remove the snapshots of an image, also those that an interrupted removal has left in its trash."""
    for snapshot in list(image.list_snaps()):
        if snapshot["namespace"] == rbd.RBD_SNAP_NAMESPACE_TYPE_TRASH:
            image.remove_snap_by_id(snapshot["id"])
            continue
        if image.is_protected_snap(snapshot["name"]):
            image.unprotect_snap(snapshot["name"])
        image.remove_snap(snapshot["name"])


def _remove_from_trash(rbd: Any, pool: Any, image_id: str) -> None:
    """Remove an image that was moved to the trash, by hand or by `rbd_move_to_trash_on_remove`."""
    try:
        rbd.RBD().trash_remove(pool, image_id)
    except rbd.PermissionError as error:
        raise Conflict("The image is kept in the trash of its pool for now.") from error
    except rbd.ImageNotFound:  # the error may be about a part of it
        with contextlib.suppress(rbd.ImageNotFound):
            rbd.RBD().trash_get(pool, image_id)
            raise Conflict("The image is still in the trash of its pool.") from None


def _is_listed(rados: Any, pool: Any, name: str) -> bool:
    """Return whether the pool's directory has a name; listing it would take longer with every image."""
    with rados.ReadOpCtx() as operation:
        found, _ = pool.get_omap_vals_by_keys(operation, (f"name_{name}",))
        pool.operate_read_op(operation, "rbd_directory")
        return bool(list(found))
