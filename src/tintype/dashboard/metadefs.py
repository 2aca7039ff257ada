"""Metadata definitions for the page: lists of whole namespaces, as in Horizon, and changes."""

from typing import Any, Final
from urllib.parse import quote

from starlette.responses import Response

from tintype.api import wire
from tintype.api.call import Call
from tintype.api.metadefs import association_view, type_view, whole_view
from tintype.dashboard import shapes
from tintype.dashboard.guard import document, items
from tintype.dashboard.images import PAGE_COOKIE
from tintype.db.engine import now
from tintype.domain import metadef_documents as documents
from tintype.domain import metadefs as rules
from tintype.domain.metadefs import Listing, Namespace
from tintype.errors import Invalid
from tintype.services.metadefs import Metadefs
from tintype.services.rights import Rights

PATH: Final = "/api/glance/metadefs/namespaces"
_READ_ONLY: Final = frozenset({"created_at", "updated_at", "owner", "schema", "self"})
"""Fields of an exported namespace that a new one cannot have."""
_DESCRIBING: Final = ("display_name", "description", "visibility", "protected")


class DashboardMetadefs:
    """Handlers of `/api/glance/metadefs/`."""

    def __init__(self, metadefs: Metadefs, rights: Rights) -> None:
        self._metadefs = metadefs
        self._rights = rights

    async def index(self, call: Call) -> Response:
        """List whole namespaces; with `resource_type`, those for it, with its prefix in property names."""
        asked = shapes.parse_list_query(wire.query_pairs(call.scope["query_string"]))
        size = shapes.page_size(call.cookies.get(PAGE_COOKIE)) if asked.paginate else shapes.LIMIT
        target = asked.filters.pop("properties_target", None)
        asked.filters.pop("resource_types", None)
        listing = _listing(asked, None if target and asked.resource_type else size + asked.paginate)
        found = (await self._metadefs.list(call.caller, listing, whole=True)).items
        if target and asked.resource_type:
            associated = [(each, each.associations.get(asked.resource_type)) for each in found]
            found = [each for each, its in associated if its is not None and its.properties_target == target]
        more = shapes.more(len(found), size, asked)
        views = [_view(each, asked.resource_type) for each in found[:size]]
        if asked.rights:
            for view, namespace in zip(views, found, strict=False):
                view["rights"] = self._rights.on_namespace(call.caller, namespace)
        return items(views, **more)

    async def resource_types(self, call: Call) -> Response:
        """List all resource types."""
        return items([type_view(each) for each in await self._metadefs.resource_types(call.caller)])

    async def create(self, call: Call) -> Response:
        """Create a namespace from a document; the read-only fields of an export are ignored."""
        data = {name: value for name, value in (await document(call)).items() if name not in _READ_ONLY}
        body = documents.checked(data, documents.NamespaceBody)
        made = await self._metadefs.create(call.caller, body)
        location = f"{PATH}/{quote(made.namespace, safe='')}/"
        return wire.json_response(_view(made, None), 201, {"Location": location})

    async def show(self, call: Call) -> Response:
        """Show a namespace with all its contents."""
        asked = shapes.parse_list_query(wire.query_pairs(call.scope["query_string"]))
        namespace = await self._metadefs.show(call.caller, call.params["namespace"])
        return wire.json_response(_view(namespace, asked.resource_type))

    async def update(self, call: Call) -> Response:
        """Update the given attributes of a namespace."""
        said = await document(call)
        unknown = sorted(said.keys() - {"namespace", *_DESCRIBING})
        if unknown:
            raise Invalid(f"'{unknown[0]}' cannot be changed so")
        before = await self._metadefs.show(call.caller, call.params["namespace"])
        kept = {name: value for name in _DESCRIBING if (value := getattr(before, name)) is not None}
        if before.owner is not None:
            kept["owner"] = before.owner
        body = documents.checked({"namespace": before.namespace, **kept, **said}, documents.NamespaceBody)
        await self._metadefs.update(call.caller, before.namespace, body)
        return wire.no_content()

    async def delete(self, call: Call) -> Response:
        """Delete a namespace."""
        await self._metadefs.delete(call.caller, call.params["namespace"])
        return wire.no_content()

    async def associations(self, call: Call) -> Response:
        """List the resource types associated with a namespace."""
        found = await self._metadefs.associations(call.caller, call.params["namespace"])
        return items([association_view(each) for each in found])

    async def update_associations(self, call: Call) -> Response:
        """Replace the resource types associated with a namespace."""
        data = (await document(call)).get("items")
        if not isinstance(data, list):
            raise Invalid("'items' is a list of associations")
        moment = now()
        wanted = [
            documents.new_association(documents.checked(each, documents.AssociationBody), moment)
            for each in data
        ]
        if len({each.name for each in wanted}) < len(wanted):
            raise Invalid("A resource type occurs twice.")
        await self._metadefs.set_associations(call.caller, call.params["namespace"], wanted)
        return wire.no_content()


def _listing(asked: shapes.ListQuery, limit: int | None) -> Listing:
    filters = {name: value for name, value in asked.filters.items() if name != "limit"}
    if asked.resource_type is not None:
        filters["resource_types"] = asked.resource_type
    filters["sort_key"] = "namespace" if asked.sort_key is None else asked.sort_key
    filters["sort_dir"] = "desc" if asked.descending else "asc"
    if asked.marker is not None:
        filters["marker"] = asked.marker
    if limit is not None:
        filters["limit"] = str(limit)
    return documents.listing(filters, rules.SORT_KEYS)


def _view(namespace: Namespace, resource_type: str | None) -> dict[str, Any]:
    view = whole_view(rules.prefixed(namespace, resource_type))
    del view["self"]
    return view
