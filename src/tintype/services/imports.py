"""Requests for imports: claim the image and store the job that will do the import.

Both happen in one transaction, so neither exists without the other.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from tintype.blobs.web import Web
from tintype.db import blobs as blob_rows
from tintype.db import images as image_rows
from tintype.db.engine import Database, Transaction, now
from tintype.domain import images, imports, quotas
from tintype.domain.blobs import STAGED, WRITING
from tintype.domain.callers import Caller
from tintype.domain.images import IMPORTING, QUEUED, Image
from tintype.domain.imports import COPY, DIRECT, GLANCE, WEB, Import
from tintype.domain.stores import StoreInfo
from tintype.domain.tasks import IMPORT, LEGACY_IMPORT, Task, lane_of
from tintype.errors import Conflict, Invalid
from tintype.services.access import ImageAccess, contended
from tintype.services.images import Images
from tintype.services.queue import JobQueue
from tintype.services.quotas import enforce_quota
from tintype.services.signatures import Signatures


@dataclass
class Imports:
    """The use cases."""

    _database: Database
    _access: ImageAccess
    _infos: Mapping[str, StoreInfo]
    _web: Web
    _images: Images
    _signatures: Signatures
    _queue: JobQueue
    methods: Sequence[str]
    """The import methods that may be requested."""

    async def begin(
        self, caller: Caller, image_id: str, wanted: Import, body: Any, *, request_id: str, token: str
    ) -> None:
        """Claim an image for an import and store the job.

        `body` is the request, shown with the task; `token` is the caller's, used for another region. Raises
        Conflict if the image is in the wrong state or a store is not writable.
        """
        rule = "copy_image" if wanted.method == COPY else "modify_image"
        image = await self._access.get(caller, image_id)
        self._access.conceal(rule, caller, image)
        imports.check_importable(image, wanted)
        self._access.authorize(rule, caller, image)
        if wanted.method == WEB:
            await self._web.check(wanted.uri or "")
        task = _new_task(
            IMPORT, caller, {"image_id": image.id, "import_req": imports.recorded(body)}, request_id
        )
        async with self._queue.transaction(caller) as tx:
            image = await self._access.get_locked(tx, caller, image_id)
            imports.check_importable(image, wanted)
            stores = self._targets(image, wanted)
            if not stores:
                return
            if wanted.method == DIRECT and await blob_rows.staged_of(tx, image.id) is None:
                raise Conflict("The image is being staged; import it afterwards.")
            task = self._for_image(task, image, {"backend": stores})
            await self._claim(tx, caller, image, task, wanted.method)
            await self._queue.add(tx, task, caller, token if wanted.method == GLANCE else None)

    async def begin_legacy(
        self, caller: Caller, given: Mapping[str, Any], request_id: str
    ) -> tuple[Task, Sequence[str]]:
        """Create an image and a task of type import that fetches its bytes from the web.

        Return the task, and the violations of property definitions.
        """
        await self._web.check(given["import_from"])
        properties = {name: value for name, value in given["image_properties"].items() if value is not None}
        for name in ("container_format", "disk_format"):
            if name not in properties:
                raise Invalid(f"'{name}' needs to be set before import")
        self._signatures.check_new(properties)
        made = await self._images.create(caller, properties)
        wanted = Import(WEB, uri=given["import_from"])
        task = _new_task(LEGACY_IMPORT, caller, dict(given), request_id)
        async with self._queue.transaction(caller) as tx:
            image = await self._access.get_locked(tx, caller, made.image.id)
            imports.check_importable(image, wanted)
            task = self._for_image(task, image, {"backend": self._targets(image, wanted)})
            await self._claim(tx, caller, image, task, WEB)
            await self._queue.add(tx, task, caller)
        return task, made.warnings

    def _for_image(self, task: Task, image: Image, more: Mapping[str, Any]) -> Task:
        given = {**task.input, **{name: list(value) for name, value in more.items()}}
        on_web = any(name in self._infos and self._infos[name].read_only for name in image.stores)
        lane = lane_of(task, stored_on_web=on_web)
        return msgspec.structs.replace(task, image_id=image.id, input=given, lane=lane)

    def _targets(self, image: Image, wanted: Import) -> tuple[str, ...]:
        writable = [name for name, info in self._infos.items() if not info.read_only]
        return imports.targets(image, wanted, writable, self._infos)

    async def _claim(self, tx: Transaction, caller: Caller, image: Image, task: Task, method: str) -> None:
        """Mark the image as being imported, with the target stores.

        Raises Invalid if the image is signed and may not be filled, except for copies of its own bytes.
        """
        changes: dict[str, Any] = {
            "importing_to": ",".join(task.input["backend"]),
            "import_failed": "",
            "import_task": task.id,
            "updated_at": max(task.created_at, image.updated_at),
        }
        if method == COPY:
            taken = msgspec.structs.replace(image, **changes)
        else:
            taken = images.changed_status(image, IMPORTING, **changes)
            self._signatures.check(image)
        if not await image_rows.save(tx, image, taken):
            raise contended(image.id)
        await enforce_quota(tx, caller, image.owner, quotas.STORE)


async def release_from_task(
    tx: Transaction, image_id: str, task_id: str, reason: str, failed: Sequence[str] = ()
) -> None:
    """Release an image that a task has claimed: queued again, or active as before a copy, with the reason."""
    image = await image_rows.get(tx, image_id, None, lock=True)
    if image is None or image.import_task != task_id:
        return
    changes: dict[str, Any] = {
        "importing_to": "",
        "import_failed": ",".join(failed),
        "import_task": None,
        "failure": reason,
        "updated_at": max(now(), image.updated_at),
    }
    if image.status == IMPORTING:
        for state in (STAGED, WRITING):
            await blob_rows.condemn_all_of(tx, image.id, state)
        after = images.changed_status(image, QUEUED, size=None, **changes)
    else:
        after = msgspec.structs.replace(image, **changes)
    await image_rows.save(tx, image, after)


def _new_task(kind: str, caller: Caller, given: dict[str, Any], request_id: str) -> Task:
    moment = now()
    return Task(
        str(uuid.uuid4()), kind, None, caller.project_id, caller.user_id, request_id, given, moment, moment
    )
