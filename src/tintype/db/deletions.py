"""Deletions of condemned blobs, each by the one process that has claimed it.

A claim has a name and a lease. Who has lost one, because it stood still, can change nothing under its name.
"""

from typing import Final

from sqlalchemy import and_, bindparam, delete, select, update

from tintype.db.blobs import BATCH, COLUMNS
from tintype.db.engine import LEASE_CLOCK, Transaction
from tintype.db.tables import blobs as table
from tintype.domain.blobs import CONDEMNED, Blob

_MOMENT: Final = select(LEASE_CLOCK)
_CONDEMNED: Final = (
    select(*COLUMNS)
    .where(
        table.c.state == CONDEMNED,
        table.c.lease_expires_at < bindparam("moment"),
        table.c.store == bindparam("store"),
    )
    .order_by(table.c.lease_expires_at)
    .limit(BATCH)
)
_IS_CONDEMNED: Final = and_(table.c.id == bindparam("key"), table.c.state == CONDEMNED)
_IS_CLAIMED: Final = and_(_IS_CONDEMNED, table.c.claimed_by == bindparam("by"))
_CLAIM: Final = (
    update(table)
    .where(_IS_CONDEMNED, table.c.lease_expires_at <= LEASE_CLOCK)
    .values(claimed_by=bindparam("by"), lease_expires_at=LEASE_CLOCK + bindparam("lease"))
)
_PROLONG: Final = update(table).where(_IS_CLAIMED).values(lease_expires_at=LEASE_CLOCK + bindparam("lease"))
_POSTPONE: Final = update(table).where(_IS_CLAIMED).values(claimed_by=None, lease_expires_at=LEASE_CLOCK)
_FORGET: Final = delete(table).where(_IS_CLAIMED)


async def lease_moment(tx: Transaction) -> int:
    """Return what the clock of leases shows, in microseconds."""
    return int((await tx.execute(_MOMENT)).scalar_one())


async def condemned(tx: Transaction, store_id: str, moment: int) -> list[Blob]:
    """Return some of the blobs to be deleted from a store, whose leases ended before a moment."""
    return [Blob(*row) for row in await tx.execute(_CONDEMNED, {"store": store_id, "moment": moment})]


async def claim(tx: Transaction, blob_id: str, by: str, lease: int) -> bool:
    """Claim a condemned blob in order to delete its bytes; return False where another has it, or it is gone.

    `by` names the claim: what follows changes nothing once the claim is another's.
    """
    return (await tx.execute(_CLAIM, {"key": blob_id, "by": by, "lease": lease})).rowcount == 1


async def prolong(tx: Transaction, blob_id: str, by: str, lease: int) -> bool:
    """Prolong a claim; return False where it was lost."""
    return (await tx.execute(_PROLONG, {"key": blob_id, "by": by, "lease": lease})).rowcount == 1


async def postpone(tx: Transaction, blob_id: str, by: str) -> None:
    """Give a claim back, and put the blob behind the others."""
    await tx.execute(_POSTPONE, {"key": blob_id, "by": by})


async def forget(tx: Transaction, blob_id: str, by: str) -> None:
    """Delete the row of a claimed blob, whose bytes are gone."""
    await tx.execute(_FORGET, {"key": blob_id, "by": by})
