"""The catalogue of metadata definitions as a whole: loaded from files, written to files, taken over, emptied.

What nobody has changed here since it was loaded may be replaced by what is loaded next.
"""

import importlib.resources
import json
import uuid
from collections.abc import Iterable, Sequence
from typing import Final, Literal

from msgspec.structs import replace

from tintype.db import metadefs as rows
from tintype.db.engine import Database, Transaction
from tintype.domain import metadef_documents as documents
from tintype.domain import metadefs
from tintype.domain.callers import Caller
from tintype.domain.metadef_documents import NamespaceBody
from tintype.domain.metadefs import Listing, Namespace
from tintype.services.images import now

ADDED, KEPT, MERGED, REPLACED, CHANGED = "added", "kept", "merged", "replaced", "changed here"
Mode = Literal["keep", "merge", "prefer-new", "overwrite"]
_OWNER: Final = "admin"
"""Of what files say no owner of, as with Glance."""
_TURN: Final = "catalogue of metadata definitions"
_EVERYBODY: Final = Caller("", "", None, is_admin=True)


def shipped() -> list[NamespaceBody]:
    """Give the namespaces that come with Tintype."""
    folder = importlib.resources.files("tintype") / "catalogue"
    files = sorted(
        (file for file in folder.iterdir() if file.name.endswith(".json")), key=lambda file: file.name
    )
    return [documents.from_file(json.loads(file.read_text(encoding="utf-8"))) for file in files]


class Catalogue:
    """The use cases of an operator."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def load_first(self) -> None:
        """Load what comes with Tintype, on the first start and never again: who deletes it means that."""
        async with self._database.write(turn=_TURN) as tx:
            if await rows.claim_first_load(tx):
                await self._load(tx, shipped(), "keep")

    async def load(self, bodies: Sequence[NamespaceBody], mode: Mode) -> list[tuple[str, str]]:
        """Load namespaces, all of them or none; gives what became of each.

        Of what there is already all is kept, or by `mode` what it lacks is added, or what differs is
        exchanged as well, or it is replaced whole.
        """
        async with self._database.write(turn=_TURN) as tx:
            await rows.claim_first_load(tx)
            return await self._load(tx, bodies, mode)

    async def _load(
        self, tx: Transaction, bodies: Sequence[NamespaceBody], mode: Mode
    ) -> list[tuple[str, str]]:
        outcome, moment = [], now()
        for number, body in enumerate(bodies):
            new = documents.new_namespace(
                body, namespace_id=str(uuid.uuid4()), owner=_OWNER, now=moment + number
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
                after = metadefs.merged(old, new, prefer_new=mode == "prefer-new")
                untouched = documents.digest(old) == old.loaded
                loaded = documents.digest(after) if untouched else old.loaded
                await rows.save(tx, old, replace(after, loaded=loaded, updated_at=moment))
                what = MERGED
            outcome.append((new.namespace, what))
        return outcome

    async def take(
        self,
        namespaces: Iterable[Namespace],
        types: Iterable[tuple[str, int, int]],
        *,
        dry_run: bool,
    ) -> list[tuple[str, str]]:
        """Take namespaces and types of resources over from elsewhere; gives what became of each namespace.

        May be repeated: what nobody has changed here since follows what it is there.
        """
        outcome = []
        async with self._database.write(turn=_TURN) as tx:
            for name, created_at, updated_at in types:
                if not dry_run:
                    await rows.know_type(tx, name, created_at, updated_at)
            for theirs in namespaces:
                new = replace(theirs, loaded=documents.digest(theirs))
                old = await rows.get(tx, new.namespace, lock=True)
                here = None if old is None else documents.digest(old)
                if here == new.loaded:
                    what = KEPT
                elif old is None:
                    what = ADDED
                elif here == old.loaded:
                    what = REPLACED
                else:
                    what = CHANGED
                if not dry_run and old is None:
                    await rows.add(tx, new)
                elif not dry_run and old is not None and what == REPLACED:
                    await rows.save(tx, old, replace(new, id=old.id))
                outcome.append((new.namespace, what))
        return outcome

    async def export(self) -> list[Namespace]:
        """Give every namespace with all that is in it, by name."""
        every = Listing(None, sort_key="namespace", ascending=True)
        async with self._database.read() as tx:
            return await rows.page(tx, _EVERYBODY, every, None, whole=True)

    async def unload(self) -> None:
        """Delete every namespace and type of resource, protected or not."""
        async with self._database.write(turn=_TURN) as tx:
            await rows.clear(tx)
