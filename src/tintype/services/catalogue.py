"""The whole catalogue of metadata definitions: load from files, export, import from Glance, unload.

A namespace that has not been changed here since it was loaded may be replaced by the next load.
"""

import importlib.resources
import json
import uuid
from collections.abc import Sequence
from typing import Final, Literal

from msgspec.structs import replace

from tintype.db import metadefs as rows
from tintype.db.engine import Database, Transaction, fetch, now
from tintype.domain import metadef_documents as documents
from tintype.domain import metadefs
from tintype.domain.callers import Caller
from tintype.domain.metadef_documents import NamespaceBody
from tintype.domain.metadefs import Listing, Namespace
from tintype.errors import TintypeError

ADDED, KEPT, MERGED, REPLACED = "added", "kept", "merged", "replaced"
DELETED, LEFT = "deleted", "left"
Mode = Literal["keep", "merge", "prefer-new", "overwrite"]
_TURN: Final = "catalogue of metadata definitions"
_EVERYBODY: Final = Caller("", "", None, is_admin=True)


def shipped() -> list[NamespaceBody]:
    """Return the namespaces that come with Tintype."""
    folder = importlib.resources.files("tintype") / "catalogue"
    files = sorted(
        (file for file in folder.iterdir() if file.name.endswith(".json")), key=lambda file: file.name
    )
    return [documents.from_file(json.loads(file.read_text(encoding="utf-8"))) for file in files]


class Catalogue:
    """The use cases for operators."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def load_first(self) -> None:
        """Load the namespaces that come with Tintype on the first start only: deleted ones stay deleted."""
        async with self._database.read() as tx:
            if await rows.was_loaded(tx):
                return
        bodies = shipped()
        await self._register_types(bodies)
        async with self._database.write(turn=_TURN) as tx:
            if await rows.claim_first_load(tx):
                await self._load(tx, bodies, "keep")

    async def load(self, bodies: Sequence[NamespaceBody], mode: Mode) -> list[tuple[str, str]]:
        """Load namespaces, all or none; return each name with its outcome.

        `mode` says what happens to an existing namespace: "keep" it, "merge" missing parts into it, also
        replace differing parts ("prefer-new"), or "overwrite" it.
        """
        await self._register_types(bodies)
        async with self._database.write(turn=_TURN) as tx:
            return await self._load(tx, bodies, mode)

    async def _register_types(self, bodies: Sequence[NamespaceBody]) -> None:
        moment = now()
        names = dict.fromkeys(each.name for body in bodies for each in body.resource_type_associations)
        await rows.add_resource_types(self._database, [(name, moment, moment) for name in names])

    async def _load(
        self, tx: Transaction, bodies: Sequence[NamespaceBody], mode: Mode
    ) -> list[tuple[str, str]]:
        outcome, moment = [], now()
        for number, body in enumerate(bodies):
            new = documents.new_namespace(
                body, namespace_id=str(uuid.uuid4()), owner=documents.OWNER, now=moment + number
            )
            new = replace(new, loaded=documents.digest(new))
            old = await rows.get(tx, new.namespace, lock=True)
            if old is None:
                await rows.add(tx, new)
                what = ADDED
            elif mode == "keep":
                what = KEPT
            elif mode == "overwrite":
                await rows.save(tx, old, replace(new, id=old.id))
                what = REPLACED
            else:
                what = await self._merge(tx, old, documents.filled(new, body, old), mode, moment)
            outcome.append((new.namespace, what))
        return outcome

    async def _merge(self, tx: Transaction, old: Namespace, new: Namespace, mode: Mode, moment: int) -> str:
        after = metadefs.merged(old, new, prefer_new=mode == "prefer-new")
        if documents.digest(after) == documents.digest(old):
            return KEPT
        untouched = documents.digest(old) == old.loaded
        loaded = documents.digest(after) if untouched else old.loaded
        await rows.save(tx, old, replace(after, loaded=loaded, updated_at=moment))
        return MERGED

    async def import_namespaces(
        self,
        namespaces: Sequence[Namespace],
        types: Sequence[tuple[str, int, int]],
        *,
        dry_run: bool,
    ) -> list[tuple[str, str, str]]:
        """Import all namespaces and resource types of another service.

        Return the name, the outcome and the reason for each namespace. May be repeated: namespaces that
        have not been changed here since follow the other service, including deletions.
        """
        if not dry_run:
            await rows.add_resource_types(self._database, types)
        outcome = []
        async with self._database.write(turn=_TURN) as tx:
            before = await rows.taken_over(tx)
            there = {each.namespace for each in namespaces}
            digests = {name: digest for name, digest in before.items() if name in there}
            for theirs in namespaces:
                new = replace(theirs, loaded=documents.digest(theirs))
                what, why = await self._import(tx, new, before.get(new.namespace), dry_run=dry_run)
                if not why:  # the same here and there
                    digests[new.namespace] = new.loaded or ""
                outcome.append((new.namespace, what, why))
            for name in before.keys() - there:
                outcome += await self._follow_deletion(tx, name, before[name], dry_run=dry_run)
            if not dry_run:
                await rows.record_taken_over(tx, digests)
                await rows.claim_first_load(tx)
        return outcome

    async def _import(
        self, tx: Transaction, new: Namespace, taken: str | None, *, dry_run: bool
    ) -> tuple[str, str]:
        old = await rows.get(tx, new.namespace, lock=True)
        what, why = _decide(new, old, taken)
        if what == ADDED and not dry_run:
            await rows.add(tx, new)
        elif what == REPLACED and old is not None and not dry_run:
            await rows.save(tx, old, replace(new, id=old.id))
        return what, why

    async def _follow_deletion(
        self, tx: Transaction, name: str, taken: str, *, dry_run: bool
    ) -> list[tuple[str, str, str]]:
        old = await rows.get(tx, name, lock=True)
        if old is None:
            return []
        if documents.digest(old) != taken:
            return [(name, LEFT, "it was deleted there, and changed here")]
        if not dry_run:
            await rows.remove(tx, old)
        return [(name, DELETED, "")]

    async def export(self) -> list[Namespace]:
        """Return every namespace with its contents, sorted by name."""
        every = Listing(None, sort_key="namespace", ascending=True)
        return await fetch(self._database, rows.page, _EVERYBODY, every, None, whole=True)

    async def unload(self) -> None:
        """Delete every namespace and resource type, protected or not."""
        async with self._database.write(turn=_TURN) as tx:
            await rows.claim_first_load(tx)
            await rows.clear(tx)


def _decide(theirs: Namespace, old: Namespace | None, taken: str | None) -> tuple[str, str]:
    """Return the outcome for a namespace of another service, and the reason.

    `taken` is its digest at the last import, or None.
    """
    try:
        documents.from_file(documents.document(theirs))
    except TintypeError as error:
        return LEFT, error.message
    if old is None:
        return (ADDED, "") if taken is None else (KEPT, "it was deleted here")
    here = documents.digest(old)
    if here == theirs.loaded:
        return KEPT, ""
    return (REPLACED, "") if here == old.loaded else (LEFT, "it was changed here")
