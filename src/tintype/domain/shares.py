"""How the slots for jobs are shared: by lane, and fairly between projects."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from tintype.domain.imports import GLANCE, WEB
from tintype.domain.tasks import IMPORT, LOCAL_LANE, LOCATION, WEB_LANE, Task

SLOW: Final = 1 << 20
"""Bytes a second below which an attempt may have to make room for others."""
_TURN_SECONDS: Final = 600.0
"""For which a project keeps its only slot while one that has none waits."""


class Held(msgspec.Struct, frozen=True):
    """An attempt that holds a slot."""

    owner: str
    seconds: float
    """Since it began."""
    rate: float | None
    """Bytes a second that its source gives; None where it does not wait for a source."""


class Standing(msgspec.Struct, frozen=True):
    """The jobs of one project in one lane."""

    at_work: int
    due: int


def lane_of(task: Task, *, stored_on_web: bool) -> str:
    """Return the lane of a job: whether its bytes come from servers that are not ours.

    `stored_on_web` says whether the image has bytes in a store on the web already.
    """
    if task.type == IMPORT:
        outside = task.input["import_req"]["method"]["name"] in {WEB, GLANCE} or stored_on_web
    elif task.type == LOCATION:
        outside = task.input["loc_url"].lower().startswith("http")
    else:
        outside = True
    return WEB_LANE if outside else LOCAL_LANE


def to_put_back(held: Sequence[Held], standings: Mapping[str, Standing]) -> Held | None:
    """Return the attempt that makes room for a project that waits while every slot is held; None for none.

    It is the slowest one of the project that has the most at work, and only where that has more than its
    share: more than the waiting project will have, or as many after a long turn. So no two projects take
    a slot from each other in quick succession.
    """
    waiting = [standing.at_work for standing in standings.values() if standing.due]
    if not waiting:
        return None
    fewest = min(waiting)

    def surplus(attempt: Held) -> int:
        standing = standings.get(attempt.owner)
        return 0 if standing is None else standing.at_work - fewest

    slow = [
        attempt
        for attempt in held
        if attempt.rate is not None
        and attempt.rate < SLOW
        and (surplus(attempt) > 1 or (surplus(attempt) == 1 and attempt.seconds > _TURN_SECONDS))
    ]
    return max(slow, key=lambda attempt: (surplus(attempt), -(attempt.rate or 0)), default=None)
