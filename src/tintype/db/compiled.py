"""Compiled PostgreSQL statements: SQLAlchemy writes the SQL once, asyncpg runs it each time.

A compiled form belongs to its statement object and lives as long as that does, so no number of other
statements evicts it. Statements are therefore module-level constants, or kept by their shape.
"""

from collections.abc import Collection, Mapping
from typing import Any, Final
from weakref import WeakKeyDictionary

from sqlalchemy import ARRAY, BindParameter, Executable, String, Text, bindparam
from sqlalchemy.dialects.postgresql.asyncpg import PGCompiler_asyncpg, PGDialect_asyncpg
from sqlalchemy.ext.compiler import compiles

from tintype.db.engine import LeaseClock


class _Compiler(PGCompiler_asyncpg):
    """Sends the values of `IN` as one array.

    The text is then the same for every number of values, and so is the server's prepared statement.
    """

    def visit_in_op_binary(self, binary: Any, operator: Any, **options: Any) -> str:  # noqa: ARG002 (the dialect's signature)
        return self._compare_with_list(binary, " IN ", " = ANY ", options)

    def visit_not_in_op_binary(self, binary: Any, operator: Any, **options: Any) -> str:  # noqa: ARG002
        return f"({self._compare_with_list(binary, ' NOT IN ', ' <> ALL ', options)})"

    def _compare_with_list(
        self, binary: Any, with_others: str, with_array: str, options: Mapping[str, Any]
    ) -> str:
        values: Any = binary.right
        if not isinstance(values, BindParameter):  # a subquery
            return str(self._generate_generic_binary(binary, with_others, **options))
        left, kind = self.process(binary.left, **options), binary.left.type
        if not values.required:  # constants: the planner uses how many there are
            items = (bindparam(None, value, type_=kind, unique=True) for value in values.value or ())
            return f"{left}{with_others}({', '.join(self.process(item) for item in items)})"
        array = bindparam(values.key, type_=ARRAY(Text() if isinstance(kind, String) else kind))
        return f"{left}{with_array}({self.process(array)})"


class _Dialect(PGDialect_asyncpg):
    statement_compiler = _Compiler
    supports_statement_cache = True


_DIALECT: Final = _Dialect()  # type: ignore[no-untyped-call]


class CompiledStatement:
    """The SQL of a statement, and the order of its values."""

    def __init__(self, statement: Any, names: Collection[str]) -> None:
        """Compile a statement for parameters of these names, as `INSERT` and `UPDATE` set columns by them."""
        compiled = statement.compile(dialect=_DIALECT, column_keys=list(names))
        self.sql = str(compiled)
        self.returns_rows = bool(statement.is_select or compiled.effective_returning)
        self._order: tuple[str, ...] = tuple(compiled.positiontup or ())
        every = compiled.construct_params(dict.fromkeys(names), _check=False)
        self._constants = {name: value for name, value in every.items() if name not in names}

    def values(self, parameters: Mapping[str, Any]) -> list[Any]:
        """Return the values for the SQL, in order."""
        if self._constants:
            parameters = {**self._constants, **parameters}
        return [parameters[name] for name in self._order]


_COMPILED: Final[WeakKeyDictionary[Executable, dict[tuple[str, ...], CompiledStatement]]] = (
    WeakKeyDictionary()
)


def compile_statement(statement: Executable, names: Collection[str]) -> CompiledStatement:
    """Return the compiled form of a statement for parameters of these names. May run in any thread."""
    by_names = _COMPILED.get(statement)
    if by_names is None:
        by_names = _COMPILED.setdefault(statement, {})
    key = tuple(names)
    compiled = by_names.get(key)
    if compiled is None:
        compiled = by_names[key] = CompiledStatement(statement, key)
    return compiled


@compiles(LeaseClock, "postgresql")
def _server_clock(*_context: object, **_options: object) -> str:
    return "(extract(epoch FROM statement_timestamp()) * 1000000)::bigint"
