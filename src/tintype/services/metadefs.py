"""Metadata definitions: list, show, create, update, delete."""

import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from tintype.db import metadefs as rows
from tintype.db.engine import Database, fetch, now
from tintype.domain import metadef_documents as documents
from tintype.domain import metadefs
from tintype.domain.callers import Caller
from tintype.domain.metadef_documents import NamespaceBody
from tintype.domain.metadefs import Association, Listing, Namespace, Tag
from tintype.errors import Conflict, NotFound, OverLimit
from tintype.policy.engine import Policy
from tintype.services.paging import Page, read_page


class Kind(msgspec.Struct, frozen=True):
    """A kind of item in a namespace: the field that has the items, and the policy rules for them."""

    field: str
    show: str
    list: str
    add: str
    modify: str
    remove: str
    clear: tuple[str, ...]


PROPERTIES: Final = Kind(
    *("properties", "get_metadef_property", "get_metadef_properties"),
    *("add_metadef_property", "modify_metadef_property", "remove_metadef_property"),
    clear=("delete_metadef_namespace",),
)
OBJECTS: Final = Kind(
    *("objects", "get_metadef_object", "get_metadef_objects"),
    *("add_metadef_object", "modify_metadef_object", "delete_metadef_object"),
    clear=("delete_metadef_namespace",),
)
TAGS: Final = Kind(
    *("tags", "get_metadef_tag", "get_metadef_tags"),
    *("add_metadef_tag", "modify_metadef_tag", "delete_metadef_tag"),
    clear=("delete_metadef_namespace", "delete_metadef_tags"),
)
_LIST_TYPES: Final = "list_metadef_resource_types"
_ASSOCIATE: Final = "add_metadef_resource_type_association"
_DISSOCIATE: Final = "remove_metadef_resource_type_association"
_WHOLE: Final = ("get_metadef_namespace", _LIST_TYPES, OBJECTS.list, PROPERTIES.list, TAGS.list)
_CONTENTS: Final = {
    "associations": _ASSOCIATE,
    **{kind.field: kind.add for kind in (OBJECTS, PROPERTIES, TAGS)},
}


class Metadefs:
    """The use cases. Each raises NotFound for a namespace that is not visible to the caller."""

    def __init__(self, database: Database, policy: Policy, *, most: int, most_bytes: int) -> None:
        """Allow each project at most `most` namespaces, each of `most_bytes` bytes with its contents."""
        self._most = most
        self._most_bytes = most_bytes
        self._database = database
        self._policy = policy

    async def list(self, caller: Caller, listing: Listing, *, whole: bool = False) -> Page[Namespace]:
        """Return a page of namespaces, with their contents only if `whole`.

        Raises NotFound if the marker is not a namespace that is visible to the caller.
        """
        self._require(("get_metadef_namespaces", _LIST_TYPES), caller)
        needed = _WHOLE if whole else _WHOLE[:1]

        def allows(namespace: Namespace) -> bool:
            return all(self._policy.allows(rule, caller, namespace.target()) for rule in needed)

        async with self._database.read() as tx:
            marker = None
            if listing.marker is not None:
                marker = _visible(caller, listing.marker, await rows.get(tx, listing.marker))
            if listing.limit is None:
                return Page([*filter(allows, await rows.page(tx, caller, listing, marker, whole=whole))])
            return await read_page(
                lambda limit, marker: rows.page(
                    tx, caller, replace(listing, limit=limit), marker, whole=whole
                ),
                allows,
                listing.limit,
                marker,
            )

    async def show(self, caller: Caller, name: str, rules: Sequence[str] = _WHOLE) -> Namespace:
        """Return a namespace if the rules allow it."""
        namespace = _visible(caller, name, await fetch(self._database, rows.get, name))
        self._require(rules, caller, namespace)
        return namespace

    async def contents(self, caller: Caller, name: str, kind: Kind) -> Namespace:
        """Return a namespace with its items of a kind, if the caller may list them.

        There are no items if the caller may not show a single one.
        """
        namespace = await self.show(caller, name, (kind.list,))
        if self._policy.allows(kind.show, caller, namespace.target()):
            return namespace
        return replace(namespace, **{kind.field: {}})

    async def create(self, caller: Caller, body: NamespaceBody) -> Namespace:
        """Create a namespace with its contents."""
        namespace = documents.new_namespace(
            body, namespace_id=str(uuid.uuid4()), owner=caller.project_id, now=now()
        )
        needed = [rule for field, rule in _CONTENTS.items() if getattr(namespace, field)]
        self._require(("add_metadef_namespace", *needed), caller)
        types = namespace.associations.values()
        await rows.add_resource_types(
            self._database, [(each.name, each.created_at, each.updated_at) for each in types]
        )
        async with self._database.write(turn=f"namespaces of {namespace.owner}") as tx:
            if await rows.count_of(tx, namespace.owner) >= self._most:
                raise OverLimit(f"A project may own {self._most} namespaces of metadata definitions.")
            await rows.add(tx, namespace, most_bytes=self._most_bytes)
        return namespace

    async def update(self, caller: Caller, name: str, body: NamespaceBody) -> Namespace:
        """Replace the attributes of a namespace; its contents stay."""

        def decide(namespace: Namespace) -> Namespace:
            return documents.described(namespace, body, owner=caller.project_id, now=now())

        return await self._change(caller, name, ("modify_metadef_namespace",), decide)

    async def delete(self, caller: Caller, name: str) -> None:
        """Delete a namespace and its contents. Raises Forbidden if it is protected."""
        async with self._database.write() as tx:
            namespace = _visible(caller, name, await rows.get(tx, name, lock=True))
            self._require(("delete_metadef_namespace",), caller, namespace)
            metadefs.check_unprotected(namespace)
            await rows.remove(tx, namespace)

    async def add(self, caller: Caller, name: str, kind: Kind, key: str, value: Any) -> None:
        """Add an item of a kind to a namespace. Raises Conflict if its name is taken."""

        def decide(items: Mapping[str, Any]) -> Mapping[str, Any]:
            return metadefs.added(items, key, value)

        await self._change(caller, name, (kind.add,), _in_kind(kind, decide))

    async def replace(self, caller: Caller, name: str, kind: Kind, old: str, new: str, value: Any) -> Any:
        """Replace an item in a namespace, perhaps under a new name; return the new item.

        Raises NotFound, and Conflict if the new name is taken.
        """

        def decide(items: Mapping[str, Any]) -> Mapping[str, Any]:
            before = metadefs.get(items, old)
            aged = value if isinstance(value, dict) else replace(value, created_at=before.created_at)
            return metadefs.replaced(items, old, new, aged)

        after = await self._change(caller, name, (kind.modify,), _in_kind(kind, decide))
        return getattr(after, kind.field)[new]

    async def remove(self, caller: Caller, name: str, kind: Kind, key: str) -> None:
        """Delete an item from a namespace. Raises Forbidden if the namespace is protected."""

        def decide(items: Mapping[str, Any]) -> Mapping[str, Any]:
            return metadefs.without(items, key)

        await self._change(caller, name, (kind.remove,), _in_kind(kind, decide), deletes=True)

    async def clear(self, caller: Caller, name: str, kind: Kind) -> None:
        """Delete all items of a kind from a namespace. Raises Forbidden if the namespace is protected."""
        await self._change(caller, name, kind.clear, _in_kind(kind, lambda _items: {}), deletes=True)

    async def add_tags(self, caller: Caller, name: str, words: Sequence[str], *, append: bool) -> None:
        """Replace the tags of a namespace, or add to them if `append`; without `words` change nothing."""
        moment = now()

        def decide(items: Mapping[str, Tag]) -> Mapping[str, Tag]:
            after = dict(items) if append or not words else {}
            for word in words:
                if word in after:
                    raise Conflict(f"'{word}' already exists in this namespace.")
                after[word] = Tag(word, moment, moment)
            return after

        await self._change(caller, name, ("add_metadef_tags",), _in_kind(TAGS, decide))

    async def resource_types(self, caller: Caller) -> Sequence[tuple[str, int, int]]:
        """Return every known resource type: its name, and when it was created and updated."""
        self._require((_LIST_TYPES,), caller)
        return await fetch(self._database, rows.resource_types)

    async def associations(self, caller: Caller, name: str) -> Sequence[Association]:
        """Return the associations of a namespace with resource types."""
        namespace = await self.show(caller, name, (_LIST_TYPES,))
        allowed = self._policy.allows("get_metadef_resource_type", caller, namespace.target())
        return list(namespace.associations.values()) if allowed else []

    async def associate(self, caller: Caller, name: str, association: Association) -> None:
        """Associate a namespace with a resource type. Raises Conflict if it is associated already."""
        await self.show(caller, name, (_ASSOCIATE,))  # before a new type is registered
        known = (association.name, association.created_at, association.updated_at)
        await rows.add_resource_types(self._database, [known])

        def decide(namespace: Namespace) -> Namespace:
            items = metadefs.added(namespace.associations, association.name, association)
            return replace(namespace, associations=items)

        await self._change(caller, name, (_ASSOCIATE,), decide)

    async def set_associations(self, caller: Caller, name: str, wanted: Sequence[Association]) -> None:
        """Replace the associations of a namespace; unchanged ones keep their times.

        Raises Forbidden if the namespace is protected and would lose one.
        """
        await self.show(caller, name, (_ASSOCIATE,))
        known = [(each.name, each.created_at, each.updated_at) for each in wanted]
        await rows.add_resource_types(self._database, known)

        def decide(namespace: Namespace) -> Namespace:
            items = namespace.associations
            after = {each.name: metadefs.with_kept_times(items.get(each.name), each) for each in wanted}
            if items.keys() - after.keys():
                metadefs.check_unprotected(namespace)
            return replace(namespace, associations=after)

        await self._change(caller, name, (_ASSOCIATE, _DISSOCIATE), decide)

    async def dissociate(self, caller: Caller, name: str, resource_type: str) -> None:
        """Remove the association of a namespace with a resource type."""

        def decide(namespace: Namespace) -> Namespace:
            return replace(namespace, associations=metadefs.without(namespace.associations, resource_type))

        await self._change(caller, name, (_DISSOCIATE,), decide, deletes=True)

    async def _change(
        self,
        caller: Caller,
        name: str,
        needed: Sequence[str],
        decide: Callable[[Namespace], Namespace],
        *,
        deletes: bool = False,
    ) -> Namespace:
        """Lock the namespace, decide, and save it as one document."""
        async with self._database.write() as tx:
            before = _visible(caller, name, await rows.get(tx, name, lock=True))
            self._require(needed, caller, before)
            after = decide(before)
            if deletes:
                metadefs.check_unprotected(before)
            await rows.save(tx, before, after, most_bytes=self._most_bytes)
        return after

    def _require(self, rules: Sequence[str], caller: Caller, namespace: Namespace | None = None) -> None:
        """Raise Forbidden unless all rules allow it, or NotFound if `get_metadef_namespace` denies it too.

        Without a namespace the target of the rules is the caller's project.
        """
        target = {"project_id": caller.project_id} if namespace is None else namespace.target()
        for rule in rules:
            if self._policy.allows(rule, caller, target):
                continue
            if not self._policy.allows("get_metadef_namespace", caller, target):
                raise (
                    _no_namespace(namespace.namespace) if namespace else NotFound("There are no namespaces.")
                )
            self._policy.require(rule, caller, target)


def _visible(caller: Caller, name: str, namespace: Namespace | None) -> Namespace:
    if namespace is None or not metadefs.visible(namespace, caller):
        raise _no_namespace(name)
    return namespace


def _no_namespace(name: str) -> NotFound:
    return NotFound(f"Metadata definition namespace={name} was not found.")


def _in_kind(
    kind: Kind, decide: Callable[[Mapping[str, Any]], Mapping[str, Any]]
) -> Callable[[Namespace], Namespace]:
    """Return a change of a namespace that applies `decide` to its items of a kind."""
    return lambda namespace: replace(namespace, **{kind.field: decide(getattr(namespace, kind.field))})
