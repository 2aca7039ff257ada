"""Information about the service: stores and usage."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tintype.blobs.base import BlobStore, Described
from tintype.db import images as image_rows
from tintype.db.engine import Database, fetch
from tintype.domain import quotas
from tintype.domain.callers import Caller
from tintype.domain.stores import StoreInfo
from tintype.errors import Unavailable
from tintype.policy.engine import Policy


@dataclass
class Info:
    """The use cases."""

    _database: Database
    _policy: Policy
    _stores: Mapping[str, BlobStore]
    _infos: Mapping[str, StoreInfo]

    def stores(self) -> list[dict[str, Any]]:
        """Return descriptions of the stores, the default one first."""
        return [_described(info) for info in self._infos.values()]

    async def stores_detail(self, caller: Caller) -> list[dict[str, Any]]:
        """Return how the stores are configured, for operators and services."""
        self._policy.require("stores_info_detail", caller, {})
        return [
            {
                **_described(info),
                "type": info.type,
                "weight": info.weight,
                "properties": await self._properties(name),
            }
            for name, info in self._infos.items()
        ]

    async def _properties(self, name: str) -> dict[str, Any]:
        """Return the details that services need about a store; none if it does not answer now."""
        store = self._stores[name]
        try:
            return await store.properties() if isinstance(store, Described) else {}
        except Unavailable:
            return {}

    async def usage(self, caller: Caller) -> dict[str, dict[str, int]]:
        """Return usage and limits of the caller's project: sizes in MiB, -1 for no limit (as in Glance)."""
        used = (await fetch(self._database, image_rows.usage, caller.project_id or "")).counted()
        return {
            name: {"usage": getattr(used, name), "limit": getattr(caller.quota, name)}
            for name in quotas.NAMES
        }


def _described(info: StoreInfo) -> dict[str, Any]:
    """Return a store's description as in the API: flags are strings, present only if set."""
    described = {"id": info.id}
    if info.description:
        described["description"] = info.description
    if info.default:
        described["default"] = "true"
    if info.read_only:
        described["read-only"] = "true"
    return described
