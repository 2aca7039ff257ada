"""An operator's schema of image properties: Glance's `schema-image.json`, in both of its forms.

`{"kernel_id": {"type": ["null", "string"], "pattern": "…"}}` defines properties, and
`{"properties": {…}, "required": ["os_distro"]}` also requires some of them.
"""

import json
import re
from collections.abc import Collection, Mapping
from typing import Any

import fastjsonschema

from tintype.errors import Invalid


class PropertySchema:
    """The operator's definitions of custom properties, compiled once."""

    def __init__(self, definitions: Mapping[str, Any], required: Collection[str] = ()) -> None:
        """Compile the definitions. Raises ValueError for one that is not a valid JSON schema."""
        self.definitions = definitions
        self.required = tuple(required)
        self._checks = {}
        for name, definition in definitions.items():
            _check(isinstance(definition, dict), f"the definition of '{name}' is not an object")
            _check('"$ref"' not in json.dumps(definition), f"the definition of '{name}' has a $ref")
            try:
                self._checks[name] = fastjsonschema.compile(definition, use_default=False)
            except (fastjsonschema.JsonSchemaDefinitionException, re.error, TypeError) as error:
                raise ValueError(f"the definition of '{name}' is not a JSON schema: {error}") from None

    def check(self, name: str, value: Any) -> None:
        """Raise Invalid for a value that violates the property's definition."""
        try:
            self._checks[name](value)
        except fastjsonschema.JsonSchemaValueException as error:
            reason = error.message.removeprefix("data ")
            raise Invalid(
                f"Provided object does not match schema 'image': the value of '{name}' {reason}."
            ) from None
        if isinstance(value, dict | list):
            raise Invalid(f"'{name}' must be a string: properties hold no objects and no arrays.")

    def check_new(self, names: Collection[str]) -> None:
        """Raise Invalid for a new image that lacks a required property."""
        self._require(name for name in self.required if name not in names)

    def check_kept(self, before: Collection[str], after: Collection[str]) -> None:
        """Raise Invalid if a change removes a required property.

        Images older than the schema file may lack some, and can still be changed.
        """
        self._require(name for name in self.required if name in before and name not in after)

    @staticmethod
    def _require(missing: Any) -> None:
        for name in missing:
            raise Invalid(f"Provided object does not match schema 'image': '{name}' is a required property.")


def read(text: str, taken: Collection[str]) -> PropertySchema:
    """Parse the schema file. Raises ValueError if it is invalid or defines names in `taken`."""
    found = json.loads(text)
    _check(isinstance(found, dict), "it must be a JSON object")
    extended = "properties" in found
    definitions = found["properties"] if extended else found
    required = (found.get("required") or []) if extended else []
    _check(isinstance(definitions, dict), "'properties' must be an object")
    names = isinstance(required, list) and all(isinstance(name, str) for name in required)
    _check(names, "'required' must be a list of names")
    clash = sorted(set(definitions) & set(taken))
    _check(not clash, f"it redefines attributes of every image: {', '.join(clash)}")
    return PropertySchema(definitions, required)


def _check(holds: bool, reason: str) -> None:
    if not holds:
        raise ValueError(reason)
