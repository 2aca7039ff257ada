"""Deletions of condemned blobs, each by the one process that has claimed it.

A claim has a name and a lease. A stalled process that has lost its claim is fenced off by the name.
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
_RENEW: Final = update(table).where(_IS_CLAIMED).values(lease_expires_at=LEASE_CLOCK + bindparam("lease"))
_POSTPONE: Final = update(table).where(_IS_CLAIMED).values(claimed_by=None, lease_expires_at=LEASE_CLOCK)
_REMOVE: Final = delete(table).where(_IS_CLAIMED)


async def lease_moment(tx: Transaction) -> int:
    """Return the time of the lease clock, in microseconds."""
    return int((await tx.execute(_MOMENT)).scalar_one())


async def condemned(tx: Transaction, store_id: str, moment: int) -> list[Blob]:
    """Return a batch of a store's condemned blobs whose leases expired before a moment."""
    return [Blob(*row) for row in await tx.execute(_CONDEMNED, {"store": store_id, "moment": moment})]


async def claim(tx: Transaction, blob_id: str, by: str, lease: int) -> bool:
    """Claim a condemned blob in order to delete its bytes; return False if it is claimed already or gone.

    `by` names the claim: the calls below change nothing once another process has claimed the blob.
    """
    return (await tx.execute(_CLAIM, {"key": blob_id, "by": by, "lease": lease})).rowcount == 1


async def renew(tx: Transaction, blob_id: str, by: str, lease: int) -> bool:
    """Renew a claim; return False if it was lost."""
    return (await tx.execute(_RENEW, {"key": blob_id, "by": by, "lease": lease})).rowcount == 1


async def postpone(tx: Transaction, blob_id: str, by: str) -> None:
    """Release a claim, and put the blob behind the others."""
    await tx.execute(_POSTPONE, {"key": blob_id, "by": by})


async def remove(tx: Transaction, blob_id: str, by: str) -> None:
    """Delete the row of a claimed blob, whose bytes are gone."""
    await tx.execute(_REMOVE, {"key": blob_id, "by": by})
