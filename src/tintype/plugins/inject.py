"""Sets configured properties of imported images: Glance's inject_image_metadata."""

from collections.abc import Mapping
from pathlib import Path

from tintype.domain.images import BASE_ATTRIBUTES, RESERVED_PREFIX
from tintype.errors import StartError
from tintype.plugins.base import Stream, Subject


class Inject:
    """Sets properties, except for callers with some roles."""

    def __init__(self, properties: Mapping[str, str], ignored_roles: frozenset[str]) -> None:
        wrong = [name for name in properties if not name or name in BASE_ATTRIBUTES]
        if wrong:
            raise StartError(f"imports.inject_properties can only set properties; '{wrong[0]}' is not one.")
        self._properties = {
            name: value for name, value in properties.items() if not name.startswith(RESERVED_PREFIX)
        }
        self._ignored_roles = ignored_roles

    async def apply(self, subject: Subject, stream: Stream, scratch: Path) -> Stream:  # noqa: ARG002
        """Set the properties; the bytes are not changed."""
        if not subject.roles & self._ignored_roles:
            subject.properties |= self._properties
        return stream
