"""Tasks by python-glanceclient's names."""

from collections.abc import Iterator
from typing import Any, Final

from tintype.client.glance.common import utils
from tintype.client.glance.v2.base import Base
from tintype.client.glance.v2.schemas import SchemaBasedModel
from tintype.client.operations import tasks

DEFAULT_PAGE_SIZE: Final = 20
SORT_DIR_VALUES: Final = ("asc", "desc")
SORT_KEY_VALUES: Final = ("id", "type", "status")


class Controller(Base):
    """`glance.tasks`."""

    @property
    def model(self) -> type[SchemaBasedModel]:
        """Return the class of tasks."""
        return self._model("task")

    def list(self, **kwargs: Any) -> utils.Generator:
        """List tasks: `page_size`, `marker`, `filters`, `sort_key`, `sort_dir`; ValueError for bad ones."""
        return utils.Generator(self._list(**kwargs))

    def _list(self, **kwargs: Any) -> Iterator[tuple[Any, Any]]:
        size = kwargs.get("page_size") or DEFAULT_PAGE_SIZE
        asked = {**(kwargs.get("filters") or {}), "limit": size, **sorting(kwargs, SORT_KEY_VALUES)}
        for task, response in self._pages(tasks.list_(**asked), "tasks"):
            yield self.model(task), response

    def get(self, task_id: str) -> SchemaBasedModel:
        """Show a task."""
        return self._record(self.model, tasks.get(task_id))

    def create(self, **kwargs: Any) -> SchemaBasedModel:
        """Create a task of a `type` with an `input`; TypeError for anything else."""
        values = dict(self.model(kwargs))
        return self._record(self.model, tasks.create(values.get("type", ""), values.get("input", {})))


def sorting(given: dict[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    """Return `marker`, `sort_key` and `sort_dir` of what was asked for; raises ValueError for others."""
    asked = {}
    for name, known in (("sort_key", keys), ("sort_dir", SORT_DIR_VALUES)):
        if given.get(name) is not None:
            if given[name] not in known:
                raise ValueError(f"{name} must be one of the following: {', '.join(known)}.")
            asked[name] = given[name]
    return asked | ({"marker": given["marker"]} if "marker" in given else {})
