"""Metadata definitions over HTTP."""

from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode

from msgspec.structs import replace
from starlette.responses import Response

from tintype.api import parameters, wire
from tintype.api.call import Call
from tintype.api.json_schema import one_of
from tintype.api.operation import Answer, describe
from tintype.db.engine import now
from tintype.domain import metadef_documents as documents
from tintype.domain import metadefs as rules
from tintype.domain.metadefs import Association, Definition, Namespace, Object, Tag
from tintype.errors import Invalid
from tintype.services.metadefs import OBJECTS, PROPERTIES, TAGS, Kind, Metadefs

_PATH: Final = "/v2/metadefs/namespaces"
_SCHEMAS: Final = "/v2/schemas/metadefs"
_TRUE: Final = frozenset({"1", "t", "true", "on", "y", "yes"})
_PAGE: Final = (
    *(parameters.LIMIT, parameters.MARKER, parameters.SORT_DIR),
    parameters.in_query("sort_key", "The key to sort by.", one_of(*rules.SORT_KEYS)),
    parameters.in_query("visibility", "Filter.", one_of(*rules.VISIBILITIES)),
)
_OBJECT_PAGE: Final = (
    parameters.in_query("limit", "Not 0; otherwise ignored.", {"type": "integer", "minimum": 1}),
    *_PAGE[1:],
)
_TAG_PAGE: Final = (
    *(parameters.LIMIT, parameters.MARKER, parameters.SORT_DIR),
    parameters.in_query("sort_key", "The key to sort by.", one_of(*rules.TAG_SORT_KEYS)),
)
_LIST: Final = (
    *_PAGE,
    parameters.in_query("resource_types", "Only namespaces of these, separated by commas."),
)
_RESOURCE_TYPE: Final = parameters.in_query("resource_type", "Names have the prefix for this type.")
_APPEND: Final = parameters.in_header("X-Openstack-Append", "Whether to keep the present tags: `true`.")


class MetadefsApi:
    """Handlers of `/v2/metadefs`."""

    def __init__(self, metadefs: Metadefs, *, page_size: int, max_page_size: int) -> None:
        self._metadefs = metadefs
        self._page_size = page_size
        self._max_page_size = max_page_size

    @describe(Answer(200, "namespaces"), takes=_LIST, errors=(404,))
    async def index(self, call: Call) -> Response:
        """List a page of namespaces, with a link to the next one."""
        asked = _asked(call)
        wanted = documents.listing(asked, rules.SORT_KEYS)
        limit = min(self._page_size if wanted.limit is None else wanted.limit, self._max_page_size)
        page = await self._metadefs.list(call.caller, replace(wanted, limit=limit))
        asked.pop("marker", None)
        body: dict[str, Any] = {
            "namespaces": [_head_view(each) for each in page.items],
            "first": _page_path(asked),
            "schema": f"{_SCHEMAS}/namespaces",
        }
        if page.last is not None:
            body["next"] = _page_path(asked | {"marker": page.last.namespace})
        return wire.json_response(body)

    @describe(Answer(201, "namespace", ("Location",)), body="NamespaceBody", errors=(409,))
    async def create(self, call: Call) -> Response:
        """Create a namespace, with any properties, objects, tags and resource types in the body."""
        body = documents.checked(await _body(call), documents.NamespaceBody)
        view = whole_view(await self._metadefs.create(call.caller, body))
        return wire.json_response(
            view, 201, {"Location": call.base_url_text + quote(view["self"], safe="/:")}
        )

    @describe(Answer(200, "namespace"), takes=(_RESOURCE_TYPE,))
    async def show(self, call: Call) -> Response:
        """Show a namespace; with `resource_type`, property names have the prefix for that type."""
        namespace = await self._metadefs.show(call.caller, call.params["namespace"])
        return wire.json_response(whole_view(rules.prefixed(namespace, _asked(call).get("resource_type"))))

    @describe(Answer(200, "namespace"), body="NamespaceBody", errors=(409,))
    async def update(self, call: Call) -> Response:
        """Replace the attributes of a namespace."""
        body = documents.checked(await _body(call), documents.NamespaceBody)
        namespace = await self._metadefs.update(call.caller, call.params["namespace"], body)
        return wire.json_response(_head_view(replace(namespace, associations={})))

    @describe(Answer(204))
    async def delete(self, call: Call) -> Response:
        """Delete a namespace."""
        await self._metadefs.delete(call.caller, call.params["namespace"])
        return wire.no_content()

    @describe(Answer(200, "properties"))
    async def list_properties(self, call: Call) -> Response:
        """List the properties of a namespace."""
        namespace = await self._contents(call, PROPERTIES)
        return wire.json_response({"properties": _properties_view(namespace.properties)})

    @describe(Answer(201, "property"), body="PropertyBody", errors=(409,))
    async def create_property(self, call: Call) -> Response:
        """Create a property in a namespace."""
        name, definition = documents.checked_property(await _body(call))
        await self._add(call, PROPERTIES, name, definition)
        return wire.json_response(_property_view(definition), 201)

    @describe(Answer(200, "property"), takes=(_RESOURCE_TYPE,))
    async def show_property(self, call: Call) -> Response:
        """Show a property; with `resource_type`, its name in the path has the prefix for that type."""
        name, resource_type = call.params["name"], _asked(call).get("resource_type")
        if resource_type:
            namespace = await self._show(call, PROPERTIES.show, "get_metadef_resource_type")
            name = rules.unprefixed(namespace, resource_type, name)
        else:
            namespace = await self._show(call, PROPERTIES.show)
        definition = rules.get(namespace.properties, name)
        return wire.json_response(_property_view({**definition, "name": name}))

    @describe(Answer(200, "property"), body="PropertyBody", errors=(409,))
    async def update_property(self, call: Call) -> Response:
        """Replace a property."""
        name, definition = documents.checked_property(await _body(call))
        await self._exchange(call, PROPERTIES, name, definition)
        return wire.json_response(_property_view(definition))

    @describe(Answer(204))
    async def delete_property(self, call: Call) -> Response:
        """Delete a property."""
        return await self._remove(call, PROPERTIES)

    @describe(Answer(204))
    async def clear_properties(self, call: Call) -> Response:
        """Delete all properties of a namespace."""
        return await self._clear(call, PROPERTIES)

    @describe(Answer(200, "objects"), takes=_OBJECT_PAGE)
    async def list_objects(self, call: Call) -> Response:
        """List all objects of a namespace; like Glance, ignore paging."""
        if documents.listing(_asked(call), rules.SORT_KEYS).limit == 0:
            raise Invalid("limit param must be positive")
        namespace = await self._contents(call, OBJECTS)
        views = [_object_view(namespace.namespace, each) for each in namespace.objects.values()]
        return wire.json_response({"objects": views, "schema": "v2/schemas/metadefs/objects"})

    @describe(Answer(201, "object"), body="ObjectBody", errors=(409,))
    async def create_object(self, call: Call) -> Response:
        """Create an object in a namespace."""
        made = documents.new_object(documents.checked(await _body(call), documents.ObjectBody), now())
        await self._add(call, OBJECTS, made.name, made)
        return wire.json_response(_object_view(call.params["namespace"], made), 201)

    @describe(Answer(200, "object"))
    async def show_object(self, call: Call) -> Response:
        """Show an object."""
        namespace = await self._show(call, OBJECTS.show)
        found = rules.get(namespace.objects, call.params["name"])
        return wire.json_response(_object_view(namespace.namespace, found))

    @describe(Answer(200, "object"), body="ObjectBody", errors=(409,))
    async def update_object(self, call: Call) -> Response:
        """Replace an object."""
        written = documents.new_object(documents.checked(await _body(call), documents.ObjectBody), now())
        made = await self._exchange(call, OBJECTS, written.name, written)
        return wire.json_response(_object_view(call.params["namespace"], made))

    @describe(Answer(204))
    async def delete_object(self, call: Call) -> Response:
        """Delete an object."""
        return await self._remove(call, OBJECTS)

    @describe(Answer(204))
    async def clear_objects(self, call: Call) -> Response:
        """Delete all objects of a namespace."""
        return await self._clear(call, OBJECTS)

    @describe(Answer(200, "tags"), takes=_TAG_PAGE)
    async def list_tags(self, call: Call) -> Response:
        """List a page of the tags of a namespace."""
        wanted = documents.listing(_asked(call), rules.TAG_SORT_KEYS)
        namespace = await self._contents(call, TAGS)
        return wire.json_response({"tags": _names(rules.tag_page(namespace.tags, wanted))})

    @describe(Answer(201, "tags"), body="TagsBody", takes=(_APPEND,), errors=(409,))
    async def create_tags(self, call: Call) -> Response:
        """Replace the tags of a namespace, or add to them with `X-Openstack-Append`."""
        body = documents.checked(await _body(call), documents.TagsBody)
        append = call.headers.get("x-openstack-append", "").strip().lower() in _TRUE
        names = [tag.name for tag in body.tags]
        await self._metadefs.add_tags(call.caller, call.params["namespace"], names, append=append)
        return wire.json_response({"tags": _names(body.tags)}, 201)

    @describe(Answer(204))
    async def clear_tags(self, call: Call) -> Response:
        """Delete all tags of a namespace."""
        return await self._clear(call, TAGS)

    @describe(Answer(201, "tag"), errors=(409, 413))
    async def create_tag(self, call: Call) -> Response:
        """Create a tag in a namespace."""
        named = documents.checked({"name": call.params["name"]}, documents.TagBody)
        moment = now()
        made = Tag(named.name, moment, moment)
        await self._add(call, TAGS, made.name, made)
        return wire.json_response(_stamped(made), 201)

    @describe(Answer(200, "tag"))
    async def show_tag(self, call: Call) -> Response:
        """Show a tag."""
        namespace = await self._show(call, TAGS.show)
        return wire.json_response(_stamped(rules.get(namespace.tags, call.params["name"])))

    @describe(Answer(200, "tag"), body="TagBody", errors=(409,))
    async def update_tag(self, call: Call) -> Response:
        """Rename a tag."""
        named = documents.checked(await _body(call), documents.TagBody)
        moment = now()
        made = await self._exchange(call, TAGS, named.name, Tag(named.name, moment, moment))
        return wire.json_response(_stamped(made))

    @describe(Answer(204))
    async def delete_tag(self, call: Call) -> Response:
        """Delete a tag."""
        return await self._remove(call, TAGS)

    @describe(Answer(200, "resource_types"))
    async def resource_types(self, call: Call) -> Response:
        """List all resource types."""
        types = await self._metadefs.resource_types(call.caller)
        views = [type_view(each) for each in types]
        return wire.json_response({"resource_types": views})

    @describe(Answer(200, "resource_type_associations"))
    async def list_associations(self, call: Call) -> Response:
        """List the resource types associated with a namespace."""
        found = await self._metadefs.associations(call.caller, call.params["namespace"])
        return wire.json_response({"resource_type_associations": [association_view(each) for each in found]})

    @describe(Answer(201, "resource_type"), body="AssociationBody", errors=(409,))
    async def create_association(self, call: Call) -> Response:
        """Associate a namespace with a resource type."""
        made = documents.new_association(
            documents.checked(await _body(call), documents.AssociationBody), now()
        )
        await self._metadefs.associate(call.caller, call.params["namespace"], made)
        return wire.json_response(association_view(made), 201)

    @describe(Answer(204))
    async def delete_association(self, call: Call) -> Response:
        """Delete the association of a namespace with a resource type."""
        await self._metadefs.dissociate(call.caller, call.params["namespace"], call.params["name"])
        return wire.no_content()

    async def _show(self, call: Call, *needed: str) -> Namespace:
        return await self._metadefs.show(call.caller, call.params["namespace"], needed)

    async def _contents(self, call: Call, kind: Kind) -> Namespace:
        return await self._metadefs.contents(call.caller, call.params["namespace"], kind)

    async def _add(self, call: Call, kind: Kind, name: str, value: Any) -> None:
        await self._metadefs.add(call.caller, call.params["namespace"], kind, name, value)

    async def _exchange(self, call: Call, kind: Kind, name: str, value: Any) -> Any:
        old = call.params["name"]
        return await self._metadefs.replace(call.caller, call.params["namespace"], kind, old, name, value)

    async def _remove(self, call: Call, kind: Kind) -> Response:
        await self._metadefs.remove(call.caller, call.params["namespace"], kind, call.params["name"])
        return wire.no_content()

    async def _clear(self, call: Call, kind: Kind) -> Response:
        await self._metadefs.clear(call.caller, call.params["namespace"], kind)
        return wire.no_content()


async def _body(call: Call) -> Any:
    return wire.parse_json(await call.bounded_body())


def _asked(call: Call) -> dict[str, str]:
    return dict(wire.query_pairs(call.scope["query_string"]))


def _page_path(asked: Mapping[str, str]) -> str:
    return f"{_PATH}?{urlencode(asked)}" if asked else _PATH


def _head_view(namespace: Namespace) -> dict[str, Any]:
    """Return the attributes and resource types of a namespace."""
    view: dict[str, Any] = {
        "namespace": namespace.namespace,
        "visibility": namespace.visibility,
        "protected": namespace.protected,
        "created_at": wire.timestamp(namespace.created_at),
        "updated_at": wire.timestamp(namespace.updated_at),
        "self": f"{_PATH}/{namespace.namespace}",
        "schema": f"{_SCHEMAS}/namespace",
    }
    view |= _given(namespace, "display_name", "description", "owner")
    if namespace.associations:
        associations = namespace.associations.values()
        view["resource_type_associations"] = [association_view(each) for each in associations]
    return view


def whole_view(namespace: Namespace) -> dict[str, Any]:
    """Return a namespace with all its contents, newest tags first."""
    view = _head_view(namespace)
    if namespace.properties:
        view["properties"] = _properties_view(namespace.properties)
    if namespace.objects:
        view["objects"] = [_object_view(namespace.namespace, each) for each in namespace.objects.values()]
    if namespace.tags:
        view["tags"] = _names(reversed(namespace.tags.values()))
    return view


def _object_view(namespace: str, shown: Object) -> dict[str, Any]:
    return {
        **_stamped(shown),
        **_given(shown, "description"),
        "required": shown.required,
        "properties": _properties_view(shown.properties),
        "self": f"{_PATH}/{namespace}/objects/{shown.name}",
        "schema": f"{_SCHEMAS}/object",
    }


def association_view(association: Association) -> dict[str, Any]:
    """Return the view of an association with a resource type."""
    return _stamped(association) | _given(association, "prefix", "properties_target")


def type_view(known: tuple[str, int, int]) -> dict[str, Any]:
    """Return a resource type: its name, and when it was created and updated."""
    return _stamped(Tag(*known))


def _properties_view(properties: Mapping[str, Definition]) -> dict[str, Any]:
    return {name: _property_view(definition) for name, definition in properties.items()}


def _property_view(definition: Definition) -> Definition:
    """Return a property definition. As in Glance, a default is a string, or null if it is no single value."""
    if "default" not in definition:
        return definition
    default = definition["default"]
    single = isinstance(default, str | int | float)
    return {**definition, "default": str(default) if single else None}


def _stamped(named: Association | Object | Tag) -> dict[str, Any]:
    return {
        "name": named.name,
        "created_at": wire.timestamp(named.created_at),
        "updated_at": wire.timestamp(named.updated_at),
    }


def _names(tags: Iterable[Tag | documents.TagBody]) -> list[dict[str, str]]:
    return [{"name": tag.name} for tag in tags]


def _given(shown: Any, *names: str) -> dict[str, Any]:
    """Return the entries that have a value."""
    return {name: value for name in names if (value := getattr(shown, name)) is not None}
