"""Blobs: which bytes exist, in which store, and which states they pass through.

`writing`     being written under a lease, which whoever writes renews; its image is taken for it
`partial`     the bytes so far of a resumable upload, which has not taken its image; kept until a time of day
`staged`      complete, and waiting for an import; kept until a time of day
`ready`       complete, and the image's
`condemned`   to be deleted: the bytes first, then the row. Taking a blob from a writer that may be alive
              leaves the lease as it is, and deletion waits for its end: what is still written would have no
              row. To delete the bytes a process claims the blob under a name and a lease of its own, so
              that two never delete at once

The leases of `writing` and `condemned` blobs are seconds long, by the database's LEASE_CLOCK. Those of the
others are days, which outlive restarts of the machine: they are by the time of day.
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
    WRITING: frozenset({READY, STAGED, PARTIAL, CONDEMNED}),  # partial: the end of an upload broke off
    PARTIAL: frozenset({WRITING, CONDEMNED}),
    STAGED: frozenset({READY, CONDEMNED}),
    READY: frozenset({CONDEMNED}),
    CONDEMNED: frozenset(),
}
"""From each state, the ones that a blob may move to. A condemned blob only ends: its row is deleted."""

FOREIGN: Final = "="
"""Begins a key whose rest is the name that others gave the bytes in the store."""


class Blob(msgspec.Struct, frozen=True):
    """Bytes in a store."""

    id: str
    store: str
    image_id: str
    state: str = WRITING
    place: str | None = None
    """The name in the store of bytes that others wrote; ours are named by the blob's id."""
    metadata: str | None = None
    """What is noted beside it as a location, as JSON."""

    @property
    def key(self) -> str:
        """The key of the bytes in the store."""
        return self.id if self.place is None else f"{FOREIGN}{self.place}"


class StoredBlob(msgspec.Struct, frozen=True):
    """Complete bytes, and what they are."""

    blob: Blob
    digests: str | None
    """As JSON; None for bytes that were stored before digests were kept here."""


def check_transition(old: str, new: str) -> None:
    """Raise Conflict unless a blob may move from one state to the other."""
    if new not in TRANSITIONS[old]:
        raise Conflict(f"A blob cannot move from '{old}' to '{new}'.")
