"""Keystone's unified limits of projects, for the service that an endpoint belongs to."""

import time
from collections import OrderedDict
from typing import Any, Final

import msgspec
from keystoneauth1 import session as keystone

from tintype.blobs.failures import status_text
from tintype.domain.quotas import NAMES, Quota
from tintype.errors import Unavailable

_PROJECTS: Final = 10_000


class _Limit(msgspec.Struct):
    resource_name: str
    resource_limit: int = 0
    default_limit: int = 0


class UnifiedLimits:
    """Reads limits from Keystone, for each project at most once in `cache_seconds`. Calls block."""

    def __init__(self, session: keystone.Session, url: str, endpoint_id: str, *, cache_seconds: int) -> None:
        self._session = session
        self._url = url
        self._endpoint_id = endpoint_id
        self._cache_seconds = cache_seconds
        self._scope: dict[str, str] | None = None
        self._known: OrderedDict[str, tuple[float, Quota]] = OrderedDict()

    def get(self, project_id: str) -> Quota:
        """Return a project's limits; limits that are not registered are 0, as with oslo.limit.

        Raises Unavailable for an unexpected answer, ClientException if Keystone does not answer.
        """
        moment = time.monotonic()
        known = self._known.get(project_id)
        if known is not None and moment < known[0] + self._cache_seconds:
            return known[1]
        found = dict.fromkeys(NAMES, 0)
        found |= {limit.resource_name: limit.default_limit for limit in self._ask("registered_limits")}
        own = self._ask("limits", project_id=project_id)
        found |= {limit.resource_name: limit.resource_limit for limit in own}
        quota = Quota(**{name: max(-1, found[name]) for name in NAMES})
        self._known[project_id] = (moment, quota)
        self._known.move_to_end(project_id)
        if len(self._known) > _PROJECTS:
            self._known.popitem(last=False)
        return quota

    def _ask(self, what: str, **filters: str) -> list[_Limit]:
        if self._scope is None:
            endpoint = self._request(f"endpoints/{self._endpoint_id}")["endpoint"]
            scope = {"service_id": endpoint["service_id"], "region_id": endpoint["region_id"]}
            self._scope = {name: value for name, value in scope.items() if value is not None}
        found = self._request(what, **self._scope, **filters)[what]
        return msgspec.convert(found, list[_Limit])

    def _request(self, path: str, **query: str) -> Any:
        answer = self._session.get(f"{self._url}/{path}", params=query, raise_exc=False, log=False)
        if answer.status_code != 200:
            message = (
                f"The identity service answered {status_text(answer.status_code)} when asked for limits."
            )
            raise Unavailable(message, retry_after=5)
        return answer.json()
