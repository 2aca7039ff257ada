"""How the slots for jobs are shared: by lane, and fairly between projects."""

from collections.abc import Collection
from typing import Final

from tintype.domain.imports import GLANCE, WEB
from tintype.domain.tasks import IMPORT, LOCAL_LANE, LOCATION, WEB_LANE, Task

_LIMIT_PER_SLOT: Final = 4
"""Jobs at once for each slot, those that run beyond the slots included."""


def max_at_once(slots: int) -> int:
    """Return how many jobs of a lane may run at once, beyond its slots included."""
    return slots * _LIMIT_PER_SLOT


def owners_at_limit(running: Collection[str], slots: int) -> set[str]:
    """Return the owners who may start no further job in a lane, given the owner of each job that runs.

    Once all slots are taken, only an owner without a running job may start one, beyond the slots. So jobs
    that run for hours delay nobody else, and no job ever has to be stopped for another owner's sake.
    """
    return set(running) if len(running) >= slots else set()


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
