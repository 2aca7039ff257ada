"""Quotas: enforcing the limits of the caller's project inside a transaction."""

from collections.abc import Iterable

from tintype.db import images as image_rows
from tintype.db.engine import Transaction
from tintype.domain import quotas
from tintype.domain.callers import Caller
from tintype.domain.quotas import NO_LIMITS, Usage


def quota_turn(caller: Caller) -> str | None:
    """Return the turn that serializes the transactions counted against the quota of the caller's project."""
    return None if caller.quota == NO_LIMITS else f"quota of {caller.project_id}"


async def enforce_quota(
    tx: Transaction, caller: Caller, owner: str | None, names: Iterable[str]
) -> Usage | None:
    """Raise OverLimit if the usage, changes of the transaction included, exceeds one of the named limits.

    The transaction must have been opened with `quota_turn`. Callers are limited only by the quota of their
    own project: for another owner nothing is checked. Return the usage, or None if nothing was checked.
    """
    if owner != caller.project_id or owner is None or caller.quota == NO_LIMITS:
        return None
    usage = await image_rows.usage(tx, owner)
    quotas.check(caller.quota, usage, names)
    return usage
