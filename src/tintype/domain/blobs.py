"""Blobs: bytes in stores, and the states that they pass through.

`writing`     being written under a lease, which the writer renews; its image is claimed
`partial`     the bytes so far of a resumable upload, whose image is not claimed; kept until a time of day
`staged`      complete, waiting for an import; kept until a time of day
`ready`       complete, the image's data
`condemned`   to be deleted: the bytes first, then the row. Condemning a blob whose writer may be alive keeps
              its lease, and deletion waits until the lease expires: bytes written later would have no row.
              To delete the bytes, a process claims the blob under a name and a lease of its own, so that
              two never delete it at once

The leases of `writing` and `condemned` blobs last seconds, by the database's LEASE_CLOCK. Those of the others
last days and must survive restarts of the machine, so they use the time of day.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from tintype.errors import Conflict

WRITING: Final = "writing"
PARTIAL: Final = "partial"
STAGED: Final = "staged"
READY: Final = "ready"
CONDEMNED: Final = "condemned"

TRANSITIONS: Final[Mapping[str, frozenset[str]]] = {
    WRITING: frozenset({READY, STAGED, PARTIAL, CONDEMNED}),  # partial: the last step of an upload failed
    PARTIAL: frozenset({WRITING, CONDEMNED}),
    STAGED: frozenset({READY, CONDEMNED}),
    READY: frozenset({CONDEMNED}),
    CONDEMNED: frozenset(),
}
"""The states that a blob may move to from each state. A condemned blob ends with its row."""

FOREIGN: Final = "="
"""Prefix of keys for bytes that others wrote; the rest is their name in the store."""


class Blob(msgspec.Struct, frozen=True):
    """Bytes in a store."""

    id: str
    store: str
    image_id: str
    state: str = WRITING
    place: str | None = None
    """The name in the store of bytes that others wrote; our bytes are named by the blob's id."""
    metadata: str | None = None
    """The metadata of a location, as JSON."""

    @property
    def key(self) -> str:
        """The key of the bytes in the store."""
        return self.id if self.place is None else f"{FOREIGN}{self.place}"


class StoredBlob(msgspec.Struct, frozen=True):
    """Complete bytes with their digests."""

    blob: Blob
    digests: str | None
    """As JSON; None for bytes that were stored before digests were recorded."""


def check_transition(old: str, new: str) -> None:
    """Raise Conflict unless a blob may move from `old` to `new`."""
    if new not in TRANSITIONS[old]:
        raise Conflict(f"A blob cannot move from '{old}' to '{new}'.")
