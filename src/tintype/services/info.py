"""What the service tells of itself: stores and usage."""

from collections.abc import Mapping
from typing import Any

from tintype.blobs.base import BlobStore
from tintype.db import images as image_rows
from tintype.db.engine import Database
from tintype.domain import quotas
from tintype.domain.callers import Caller
from tintype.policy.engine import Policy


class Info:
    """The use cases."""

    def __init__(self, database: Database, policy: Policy, stores: Mapping[str, BlobStore]) -> None:
        self._database = database
        self._policy = policy
        self._stores = stores

    def stores(self) -> list[dict[str, Any]]:
        """Describe the stores, the default one first."""
        described: list[dict[str, Any]] = [{"id": store_id} for store_id in self._stores]
        described[0]["default"] = "true"
        return described

    def stores_detail(self, caller: Caller) -> list[dict[str, Any]]:
        """Describe how the stores are set up, to operators and services."""
        self._policy.require("stores_info_detail", caller, {})
        types = [store.type for store in self._stores.values()]
        return [
            {**described, "type": store_type, "weight": 0, "properties": {}}
            for described, store_type in zip(self.stores(), types, strict=True)
        ]

    async def usage(self, caller: Caller) -> dict[str, dict[str, int]]:
        """Give what the caller's project uses: image sizes in MiB, -1 for no limit (Glance's units)."""
        async with self._database.read() as tx:
            used = (await image_rows.usage(tx, caller.project_id or "")).counted()
        return {
            name: {"usage": getattr(used, name), "limit": getattr(caller.quota, name)}
            for name in quotas.NAMES
        }
