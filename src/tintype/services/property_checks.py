"""What callers say of images, held against the public definitions of image properties."""

from collections.abc import Mapping, Sequence
from typing import Any

from tintype.db import metadefs as rows
from tintype.db.engine import Database
from tintype.domain import property_checks
from tintype.domain.metadefs import Definition
from tintype.errors import Invalid


class PropertyCheck:
    """Checks properties that are about to be set."""

    def __init__(self, database: Database, *, refuse: bool) -> None:
        self._database = database
        self._refuse = refuse

    async def definitions(self) -> Mapping[str, Sequence[Definition]]:
        """Return the definitions of properties by name."""
        async with self._database.read() as tx:
            return property_checks.definitions(await rows.for_resource(tx, property_checks.IMAGE_TYPE))

    def check(
        self, attributes: Mapping[str, Any], definitions: Mapping[str, Sequence[Definition]]
    ) -> Sequence[str]:
        """Return what no definition accepts; raise Invalid with that where it shall be refused."""
        found = property_checks.complaints(attributes, definitions)
        if found and self._refuse:
            raise Invalid(f"{'; '.join(found)}.")
        return found
