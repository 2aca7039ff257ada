"""SQL for PostgreSQL: statements compiled once, and kept while they are used."""

import threading
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Executable
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg


class Text:
    """A compiled statement: the SQL, and in which order it wants its values."""

    def __init__(self, statement: Any, names: Sequence[str]) -> None:
        compiled = statement.compile(dialect=_DIALECT, column_keys=list(names))
        self.statement = statement
        self.gives_rows = bool(statement.is_select or compiled.effective_returning)
        self._sql = str(compiled)
        self._compiled = compiled if compiled.post_compile_params else None
        self._order: Sequence[str] = compiled.positiontup or ()
        fixed = compiled.construct_params(dict.fromkeys(names), _check=False)
        self._fixed = {name: value for name, value in fixed.items() if name not in names}

    def values(self, parameters: Mapping[str, Any]) -> tuple[str, list[Any]]:
        """Give the SQL, with room for every value of a list, and the values in order."""
        if self._fixed:
            parameters = {**self._fixed, **parameters}
        if self._compiled is not None:
            state = self._compiled.construct_expanded_state(parameters)
            return state.statement, list(state.positional_parameters)
        return self._sql, [parameters[name] for name in self._order]


def text_of(statement: Executable, names: Collection[str]) -> Text:
    """Compile a statement, or find it among those that were used last. May run in any thread."""
    key = (id(statement), *names)
    text = _TEXTS.get(key)
    if text is None:
        text = Text(statement, tuple(names))  # it keeps the statement, and so its id
    with _KEEPING:
        _TEXTS[key] = text
        _TEXTS.move_to_end(key)
        if len(_TEXTS) > _KEPT:
            _TEXTS.popitem(last=False)
    return text


_DIALECT: Final = PGDialect_asyncpg()  # type: ignore[no-untyped-call]
_TEXTS: Final[OrderedDict[tuple[Any, ...], Text]] = OrderedDict()
_KEPT: Final = 1000
_KEEPING: Final = threading.Lock()
