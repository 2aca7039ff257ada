"""Queries for one row that PostgreSQL can answer for many callers at once."""

import functools
from collections.abc import Callable
from typing import Any

from sqlalchemy import ARRAY, Select, Text, bindparam, column, func, literal_column, select, true


class Lookup:
    """A query for one row by parameters that are text or null. The names of its columns must differ."""

    def __init__(self, build: Callable[..., Select[Any]], *names: str) -> None:
        """Create it; `build` returns the query with the given expressions in place of the parameters."""
        self.names = names
        self._build = build
        self.single = build(*(bindparam(name) for name in names))
        """The query for one caller."""

    @functools.cached_property
    def batch(self) -> Select[Any]:
        """The query for many callers, whose parameters are arrays of the same names.

        A row is the number of a caller, from 1 on, then the columns of `single`. A caller for whom nothing is
        found has no row.
        """
        arrays = (bindparam(name, type_=ARRAY(Text)) for name in self.names)
        columns = (column(name, Text) for name in self.names)
        unnested = func.unnest(*arrays).table_valued(*columns, with_ordinality="number")
        asked = unnested.render_derived(name="asked")
        found = (
            self._build(*(asked.c[name] for name in self.names)).limit(literal_column("1")).lateral("found")
        )
        return select(asked.c.number, *found.c).select_from(asked.join(found, true()))
