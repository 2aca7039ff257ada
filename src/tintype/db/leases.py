"""Leases of all kinds: of blobs, uploads and jobs."""

from typing import Final

from sqlalchemy import exists, or_, select

from tintype.db.engine import LEASE_CLOCK, Transaction
from tintype.db.tables import blobs, jobs, uploads
from tintype.domain.blobs import CONDEMNED, WRITING

_LONGEST: Final = 60_000_000
"""Microseconds; every lease is shorter."""
_LATER: Final = LEASE_CLOCK + _LONGEST
_FROM_BEFORE: Final = select(
    or_(
        exists().where(blobs.c.state.in_((WRITING, CONDEMNED)), blobs.c.lease_expires_at > _LATER),
        exists().where(uploads.c.held_until > _LATER),
        exists().where(jobs.c.held_until > _LATER),
    )
)


async def any_from_before(tx: Transaction) -> bool:
    """Return whether a lease ends later than the clock can explain: the clock has restarted since."""
    return bool((await tx.execute(_FROM_BEFORE)).scalar_one())
