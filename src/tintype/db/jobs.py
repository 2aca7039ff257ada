"""Jobs in the database: their claims, leases and progress.

An attempt claims a job under a name that each of its writes must carry. An attempt that has lost its job,
because its lease expired or the job ended, is fenced off: its writes are rejected. Leases and pauses use the
database's LEASE_CLOCK; the times that users see are times of day.
"""

import functools
import operator
from collections.abc import Collection, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Select, bindparam, delete, func, insert, literal, select, update

from tintype.db.engine import LEASE_CLOCK, Transaction, Violation
from tintype.db.tables import LIVE
from tintype.db.tables import jobs as table
from tintype.domain.callers import Caller
from tintype.domain.tasks import FAILURE, PENDING, PROCESSING, Task, TaskQuery
from tintype.errors import Conflict


class ClaimedJob(msgspec.Struct, frozen=True):
    """A job that an attempt has claimed, the caller it runs for, and its secret.

    All three are None if this version of the code cannot read the job.
    """

    id: str
    image_id: str | None
    task: Task | None = None
    caller: Caller | None = None
    secret: str | None = None


_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(dict[str, Any]).decode
_decode_caller: Final = msgspec.json.Decoder(Caller).decode
_COLUMNS: Final = tuple(table.c[name] for name in Task.__struct_fields__)
_SELECT: Final = select(*_COLUMNS)
_ADD: Final = insert(table)
_GET: Final = _SELECT.where(table.c.id == bindparam("key"))
_LATEST_OF: Final = (
    _SELECT.where(table.c.image_id == bindparam("image"))
    .order_by(table.c.created_at.desc(), table.c.id)
    .limit(100)
)
_PRIVATE: Final = (table.c.caller, table.c.secret)
_OWNER: Final = func.coalesce(table.c.owner, "")
_LANE: Final = table.c.lane == bindparam("among")
_IS_DUE: Final = (table.c.not_before <= LEASE_CLOCK) & (table.c.held_until < LEASE_CLOCK)
_ANY_DUE: Final = (
    select(table.c.id)
    .where(LIVE, _LANE, _IS_DUE, _OWNER.not_in(bindparam("at_limit", expanding=True)))  # LIVE as in the index
    .limit(1)
)
_BUSY: Final = (
    select(_OWNER.label("owner"), func.count().label("at_work"))
    .where(LIVE, _LANE, table.c.held_until >= LEASE_CLOCK)
    .group_by(_OWNER)
    .subquery()
)
_waiting: Final = table.alias("waiting")
_waiting_owner: Final = func.coalesce(_waiting.c.owner, "")
_NEXT: Final = (
    select(_waiting.c.id)
    .outerjoin(_BUSY, _BUSY.c.owner == _waiting_owner)
    .where(
        LIVE,
        _waiting.c.lane == bindparam("among"),
        _waiting.c.not_before <= LEASE_CLOCK,
        _waiting.c.held_until < LEASE_CLOCK,
        _waiting_owner.not_in(bindparam("at_limit", expanding=True)),
    )
    .order_by(func.coalesce(_BUSY.c.at_work, 0), _waiting.c.created_at)
    .limit(1)
)
_CLAIM: Final = (
    update(table)
    .where(table.c.id == _NEXT.with_for_update(skip_locked=True, of=_waiting).scalar_subquery())
    .values(
        state=PROCESSING,
        holder=bindparam("by"),
        held_until=LEASE_CLOCK + bindparam("lease"),
        attempts=table.c.attempts + 1,
        updated_at=bindparam("now"),
    )
    .returning(*_COLUMNS, *_PRIVATE)
)
_MINE: Final = (table.c.id == bindparam("key"), table.c.holder == bindparam("by"))
_RENEW: Final = (
    update(table)
    .where(*_MINE)
    .values(
        held_until=LEASE_CLOCK + bindparam("lease"),
        bytes_done=bindparam("done"),
        bytes_total=bindparam("total"),
        updated_at=bindparam("now"),
    )
    .returning(table.c.cancelled)
)
_FINISH: Final = (
    update(table)
    .where(*_MINE)
    .values(
        state=bindparam("to"),
        result=bindparam("outcome"),
        message=bindparam("said"),
        bytes_done=bindparam("done"),
        secret=None,
        holder=None,
        held_until=0,
        updated_at=bindparam("now"),
        expires_at=bindparam("expires"),
    )
)
_REQUEUE: Final = (
    update(table)
    .where(*_MINE)
    .values(
        state=PENDING,
        message=bindparam("said"),
        bytes_done=0,
        attempts=table.c.attempts - bindparam("uncounted"),
        not_before=LEASE_CLOCK + bindparam("pause"),
        holder=None,
        held_until=0,
        updated_at=bindparam("now"),
    )
)
_IS_CLAIMED_BY: Final = select(table.c.id).where(*_MINE)
_ACQUIRE: Final = (
    update(table)
    .where(table.c.id == bindparam("key"), LIVE, table.c.held_until < LEASE_CLOCK)
    .values(holder=bindparam("by"), held_until=LEASE_CLOCK + bindparam("lease"))
    .returning(*_COLUMNS, *_PRIVATE)
)
_FAIL_UNREADABLE: Final = (
    update(table)
    .where(*_MINE)
    .values(state=FAILURE, message=bindparam("said"), holder=None, held_until=0, expires_at=bindparam("then"))
)
_CANCEL: Final = (
    update(table)
    .where(table.c.id == bindparam("key"), LIVE)
    .values(cancelled=True, not_before=0, updated_at=bindparam("now"))
)
_UNFINISHED: Final = (
    select(func.count()).select_from(table).where(LIVE, func.coalesce(bindparam("whose"), "") == _OWNER)
)
_EXPIRE_ALL: Final = (
    update(table)
    .where((table.c.held_until > 0) | (table.c.not_before > 0))
    .values(held_until=0, not_before=0)
)
_PRUNE: Final = delete(table).where(table.c.expires_at < bindparam("now"))


async def add(tx: Transaction, task: Task, caller: Caller, secret: str | None) -> None:
    """Store a new job; raises Conflict if another unfinished job works on its image."""
    row = msgspec.structs.asdict(task) | {
        "input": _encode(task.input).decode(),
        "caller": _encode(caller).decode(),
        "secret": secret,
        "not_before": 0,
        "holder": None,
        "held_until": 0,
    }
    try:
        await tx.execute(_ADD, row)
    except Violation:
        raise Conflict(
            f"New operation on image '{task.image_id}' is not permitted as prior operation is still in "
            "progress"
        ) from None


async def get(tx: Transaction, task_id: str) -> Task | None:
    """Return a job, or None if it does not exist."""
    row = (await tx.execute(_GET, {"key": task_id})).first()
    return None if row is None else _from_row(row)


async def list_latest(tx: Transaction, image_id: str) -> list[Task]:
    """Return the latest jobs of an image, oldest first."""
    return [_from_row(row) for row in await tx.execute(_LATEST_OF, {"image": image_id})][::-1]


async def page(tx: Transaction, query: TaskQuery, marker: Task | None) -> list[Task]:
    """Return a page of jobs without their input; `marker` is the last job of the previous page."""
    names = tuple(name for name, _ in query.filters)
    statement = _select_page(query.sort_key, query.descending, names, marker is not None)
    values: dict[str, Any] = {**dict(query.filters), "limit": query.limit}
    if marker is not None:
        key = _COLUMN.get(query.sort_key, query.sort_key)
        values |= {"marker_key": getattr(marker, key), "marker_id": marker.id}
    return [_from_row(row) for row in await tx.execute(statement, values)]


@functools.cache  # few: 7 sort keys, both directions, 8 sets of filters, with and without a marker
def _select_page(sort_key: str, descending: bool, filters: tuple[str, ...], marked: bool) -> Select[Any]:
    """Return the statement of a page; parameters are the filters, `limit`, `marker_key` and `marker_id`."""
    key = table.c[_COLUMN.get(sort_key, sort_key)]
    columns = (literal("{}").label("input") if column.name == "input" else column for column in _COLUMNS)
    statement = select(*columns).where(
        *(table.c[_COLUMN.get(name, name)] == bindparam(name) for name in filters)
    )
    if sort_key == "expires_at":
        statement = statement.where(key.is_not(None))
    if marked:
        behind = operator.lt if descending else operator.gt
        value, same = bindparam("marker_key", type_=key.type), table.c.id
        statement = statement.where(
            behind(key, value) | ((key == value) & behind(same, bindparam("marker_id")))
        )
    order = (key.desc(), table.c.id.desc()) if descending else (key, table.c.id)
    return statement.order_by(*order).limit(bindparam("limit"))


async def claim(
    tx: Transaction, holder: str, lane: str, *, at_limit: Collection[str], now: int, lease: int
) -> ClaimedJob | None:
    """Claim a job of a lane that is due, whichever attempt had it before; None if none is due.

    The oldest job of the owner with the fewest running jobs is claimed. Owners `at_limit` have to wait.
    """
    values = {"by": holder, "among": lane, "now": now, "lease": lease, "at_limit": list(at_limit)}
    row = (await tx.execute(_CLAIM, values)).first()
    return None if row is None else _claimed(row)


async def acquire(tx: Transaction, task_id: str, holder: str, lease: int) -> ClaimedJob | None:
    """Claim a job by its id; None if another attempt has it, or it has ended."""
    row = (await tx.execute(_ACQUIRE, {"key": task_id, "by": holder, "lease": lease})).first()
    return None if row is None else _claimed(row)


async def is_claimed_by(tx: Transaction, task_id: str, holder: str) -> bool:
    """Return whether an attempt still has its job."""
    return (await tx.execute(_IS_CLAIMED_BY, {"key": task_id, "by": holder})).first() is not None


async def fail_unreadable(tx: Transaction, task_id: str, holder: str, message: str, then: int) -> None:
    """Fail a job that cannot be read."""
    await tx.execute(_FAIL_UNREADABLE, {"key": task_id, "by": holder, "said": message, "then": then})


async def renew(tx: Transaction, task: Task, holder: str, *, now: int, lease: int) -> bool | None:
    """Renew the lease and record the job's progress.

    Returns whether the job has been cancelled; None if the attempt has lost it.
    """
    row = {"key": task.id, "by": holder, "lease": lease, "now": now}
    row |= {"done": task.bytes_done, "total": task.bytes_total}
    found = (await tx.execute(_RENEW, row)).first()
    return None if found is None else bool(found[0])


async def finish(tx: Transaction, task: Task, holder: str, *, now: int, lifetime: int) -> bool:
    """Record how a job has ended; return False if the attempt has lost it."""
    row = {"key": task.id, "by": holder, "to": task.state, "said": task.message, "now": now}
    row |= {"done": task.bytes_done, "expires": now + lifetime}
    row["outcome"] = None if task.result is None else _encode(task.result).decode()
    return (await tx.execute(_FINISH, row)).rowcount == 1


async def requeue(
    tx: Transaction, task_id: str, holder: str, *, now: int, pause: int, message: str, counted: bool
) -> bool:
    """Return a job to the queue, to be tried again after a pause; return False if it was lost already.

    An attempt that failed through no fault of the job is not `counted`.
    """
    row = {"key": task_id, "by": holder, "said": message, "pause": pause, "now": now}
    return (await tx.execute(_REQUEUE, row | {"uncounted": 0 if counted else 1})).rowcount == 1


async def cancel(tx: Transaction, task_id: str, now: int) -> bool:
    """Request the cancellation of a job; return False if it has ended."""
    return (await tx.execute(_CANCEL, {"key": task_id, "now": now})).rowcount == 1


async def is_due(tx: Transaction, lane: str, at_limit: Collection[str]) -> bool:
    """Return whether a job of a lane can be claimed: one whose owner is not `at_limit`."""
    row = {"among": lane, "at_limit": list(at_limit)}
    return (await tx.execute(_ANY_DUE, row)).first() is not None


async def count_unfinished(tx: Transaction, owner: str | None) -> int:
    """Return how many jobs of an owner have not ended."""
    return int((await tx.execute(_UNFINISHED, {"whose": owner})).scalar_one())


async def expire_all(tx: Transaction) -> None:
    """Expire every lease and every pause. Call it only when no job is being worked on."""
    await tx.execute(_EXPIRE_ALL)


async def prune(tx: Transaction, now: int) -> None:
    """Delete the records of ended jobs that have expired."""
    await tx.execute(_PRUNE, {"now": now})


_COLUMN: Final = {"status": "state"}
"""Columns whose names differ from the API's."""


def _claimed(row: Sequence[Any]) -> ClaimedJob:
    *columns, caller, secret = row
    values = dict(zip(Task.__struct_fields__, columns, strict=True))
    try:
        task, for_whom = _from_row(columns), _decode_caller(caller)
    except (msgspec.MsgspecError, TypeError, ValueError):
        return ClaimedJob(values["id"], values["image_id"])
    return ClaimedJob(task.id, task.image_id, task, for_whom, secret)


def _from_row(row: Sequence[Any]) -> Task:
    values = dict(zip(Task.__struct_fields__, row, strict=True))
    values["input"] = _decode(values["input"])
    values["result"] = None if values["result"] is None else _decode(values["result"])
    values["cancelled"] = bool(values["cancelled"])
    return Task(**values)
