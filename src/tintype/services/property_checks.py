"""Checking image properties against the public definitions of image properties."""

from collections.abc import Mapping, Sequence
from typing import Any

from tintype.db import metadefs as rows
from tintype.db.engine import Database, fetch
from tintype.domain import property_checks
from tintype.domain.metadefs import Definition
from tintype.errors import Invalid


class PropertyCheck:
    """Checks properties before they are set."""

    def __init__(self, database: Database, *, refuse: bool) -> None:
        self._database = database
        self._refuse = refuse

    async def definitions(self) -> Mapping[str, Sequence[Definition]]:
        """Return the definitions of image properties by name."""
        return property_checks.definitions(
            await fetch(self._database, rows.for_resource, property_checks.IMAGE_TYPE)
        )

    def check(
        self, attributes: Mapping[str, Any], definitions: Mapping[str, Sequence[Definition]]
    ) -> Sequence[str]:
        """Return the violations of definitions, or raise Invalid with them if they are refused."""
        found = property_checks.violations(attributes, definitions)
        if found and self._refuse:
            raise Invalid(f"{'; '.join(found)}.")
        return found
