"""How the slots for jobs are shared: by lane, and fairly between projects."""

from collections.abc import Collection
from typing import Final

from tintype.domain.imports import GLANCE, WEB
from tintype.domain.tasks import IMPORT, LOCAL_LANE, LOCATION, WEB_LANE, Task

_LIMIT_PER_SLOT: Final = 4
"""Concurrent jobs per slot, including those beyond the slots."""


def max_at_once(slots: int) -> int:
    """Return how many jobs of a lane may run at once, including those beyond its slots."""
    return slots * _LIMIT_PER_SLOT


def owners_at_limit(running: Collection[str], slots: int) -> set[str]:
    """Return the owners that may not start a further job in a lane, given the owner of each running job.

    Once all slots are in use, only owners without a running job may start one, beyond the slots. So long jobs
    do not delay other owners, and no job has to be stopped for the sake of another owner.
    """
    return set(running) if len(running) >= slots else set()


def lane_of(task: Task, *, stored_on_web: bool) -> str:
    """Return the lane of a job, which depends on whether its bytes come from servers that are not ours.

    `stored_on_web` says whether the image already has bytes in a store on the web.
    """
    if task.type == IMPORT:
        outside = task.input["import_req"]["method"]["name"] in {WEB, GLANCE} or stored_on_web
    elif task.type == LOCATION:
        outside = task.input["loc_url"].lower().startswith("http")
    else:
        outside = True
    return WEB_LANE if outside else LOCAL_LANE
