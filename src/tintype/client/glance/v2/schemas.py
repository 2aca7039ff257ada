"""Schemas, and records that keep to them: attributes and items are the same, `patch` is what changed."""

import copy
import json
from typing import Any, ClassVar, TypeVar

import msgspec

from tintype.client.operations import info
from tintype.client.requests import pointer

Model = TypeVar("Model", bound="SchemaBasedModel")


class SchemaBasedModel(dict[str, Any]):
    """A record. A value that its schema forbids is a TypeError."""

    schema: ClassVar[dict[str, Any]] = {}
    request_ids: list[Any]
    _own = ("schema", "resolver", "request_ids", "_original")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Take values as dict does; raises TypeError for what the schema forbids."""
        super().__init__(*args, **kwargs)
        self._check(self)
        object.__setattr__(self, "_original", copy.deepcopy(dict(self)))

    @classmethod
    def _check(cls, values: dict[str, Any]) -> None:
        """Let everything pass; classes of a factory know better."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self._own:
            self.__dict__[name] = value
        else:
            self[name] = value

    def __delattr__(self, name: str) -> None:
        try:
            del self[name]
        except KeyError:
            raise AttributeError(name) from None

    def __setitem__(self, name: str, value: Any) -> None:
        self._check({**self, name: value})
        super().__setitem__(name, value)

    @property
    def wrapped(self) -> dict[str, Any]:
        """Return the plain values."""
        return dict(self)

    @property
    def patch(self) -> str:
        """Return what changed as a JSON patch. What the schema has as an attribute always exists: replace."""
        original = self.__dict__["_original"]
        known = self.__dict__.get("schema") or self.schema
        base = {name for name, of in known.get("properties", {}).items() if of.get("is_base", True)}
        changes: list[dict[str, Any]] = []
        for name in self:
            if name not in original or original[name] != self[name]:
                op = "replace" if name in original or name in base else "add"
                changes.append({"op": op, "path": pointer(name), "value": self[name]})
        changes += [{"op": "remove", "path": pointer(name)} for name in original if name not in self]
        return json.dumps(changes)


def model_factory(schema: dict[str, Any], *, validated: bool = True) -> type[SchemaBasedModel]:
    """Make the class of records of a schema."""

    class Made(SchemaBasedModel):
        @classmethod
        def _check(cls, values: dict[str, Any]) -> None:
            if validated:
                _validate(schema, values)

    Made.schema = schema
    Made.__name__ = str(schema.get("name", "record")).capitalize()
    return Made


class SchemaProperty:
    """An attribute of a schema."""

    def __init__(self, name: str, **kwargs: Any) -> None:
        self.name = name
        self.description = kwargs.get("description")
        self.is_base = kwargs.get("is_base", True)


class Schema:
    """A JSON schema of the server."""

    def __init__(self, raw_schema: dict[str, Any]) -> None:
        self._raw = raw_schema
        self.name = raw_schema["name"]
        self.properties = [SchemaProperty(name, **of) for name, of in raw_schema["properties"].items()]

    def is_core_property(self, property_name: str) -> bool:
        """Return whether the schema knows an attribute."""
        return any(each.name == property_name for each in self.properties)

    def is_base_property(self, property_name: str) -> bool:
        """Return whether an attribute is the API's own, and no operator's."""
        return any(each.name == property_name and each.is_base for each in self.properties)

    def raw(self) -> dict[str, Any]:
        """Return a copy of the JSON."""
        return copy.deepcopy(self._raw)


class Controller:
    """Shows schemas."""

    def __init__(self, http_client: Any) -> None:
        self.http_client = http_client

    def get(self, schema_name: str) -> Schema:
        """Show one: `image`, `member`, `task`, `metadefs/namespace` and so on."""
        _, raw = self.http_client.get(info.schema(schema_name).target)
        return Schema(raw)


_compiled: dict[bytes, Any] = {}


def _validate(schema: dict[str, Any], values: dict[str, Any]) -> None:
    import fastjsonschema  # only who makes or changes records pays for it

    key = msgspec.json.encode(schema, order="sorted")
    if key not in _compiled:
        _compiled[key] = fastjsonschema.compile(schema, use_default=False)
    try:
        _compiled[key](values)
    except fastjsonschema.JsonSchemaValueException as error:
        raise TypeError(str(error)) from None
