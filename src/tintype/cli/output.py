"""How commands print: tables for people, lines, JSON or YAML for programs, and bars of what goes on."""

import contextlib
import enum
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from tintype.client.progress import Progress

_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_SIZES: Final = frozenset({"size", "virtual_size"})


class Format(enum.StrEnum):
    """How results are printed."""

    table = "table"
    json = "json"
    yaml = "yaml"
    value = "value"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows under column names: a table for a person, lines with tabs for a program."""
    if not sys.stdout.isatty():
        for row in (columns, *rows):
            print("\t".join(_harmless(cell) for cell in row))
        return
    shown = Table(*(Column(Text(_harmless(column))) for column in columns))
    for row in rows:
        shown.add_row(*(Text(_harmless(cell)) for cell in row))
    Console().print(shown)


def show(result: Any, form: Format, columns: Sequence[str], default: Sequence[str]) -> None:
    """Print what a command gives: a record, or several; nothing of None.

    `columns` are those that were asked for. Without any, JSON and YAML have everything, tables of several
    records and values their `default` ones.
    """
    if result is None:
        return
    records: Any = _plain(list(result) if isinstance(result, Iterator) else result)
    several = isinstance(records, list)
    if form in {Format.json, Format.yaml}:
        _write(_chosen(records, columns), form)
        return
    rows: list[dict[str, Any]] = records if several else [records]
    known = (columns or default) if several else columns
    names = list(known or dict.fromkeys(name for row in rows for name in row))
    if form is Format.value:
        for row in rows:
            cells = [_cell(row.get(name), name, exact=True) for name in names]
            print(*map(_harmless, cells), sep=" " if several else "\n")
        return
    exact = not sys.stdout.isatty()
    if several:
        table(names, ([_cell(row.get(name), name, exact=exact) for name in names] for row in rows))
    else:
        told = [name for name in names if columns or records[name] is not None]
        table(("field", "value"), ((name, _cell(records.get(name), name, exact=exact)) for name in told))


@contextlib.contextmanager
def progress(what: str) -> Iterator[Progress]:
    """Show a bar with rate and time left on standard error, if a person looks at it."""
    from rich.progress import (  # only transfers pay for it
        BarColumn,
        DownloadColumn,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )
    from rich.progress import Progress as Bars

    console = Console(stderr=True)
    shown = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Bars(*shown, console=console, transient=True, disable=not console.is_terminal) as bars:
        bar = bars.add_task(_harmless(what).replace("[", "\\["), total=None)
        yield lambda done, total: bars.update(bar, completed=done, total=total)


def _plain(value: Any) -> Any:
    """Give JSON's kinds of a record or several; an image's properties stand among its attributes."""
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, msgspec.Struct):
        built = msgspec.to_builtins(value)
        extra = built.pop("properties", None) if type(value).__name__ == "Image" else None
        return {**built, **(extra or {})}
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    return value


def _chosen(records: Any, names: Sequence[str]) -> Any:
    if not names:
        return records
    if isinstance(records, list):
        return [_chosen(each, names) for each in records]
    return {name: records.get(name) for name in names}


def _write(value: Any, form: Format) -> None:
    if form is Format.json:
        print(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())
        return
    import yaml  # only who wants YAML pays for it

    print(yaml.safe_dump(value, sort_keys=False, allow_unicode=True), end="")


def _cell(value: Any, name: str, *, exact: bool) -> str:
    if value is None:
        return ""
    if name in _SIZES and not exact and isinstance(value, int):
        return size(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return ",".join(value)
    if isinstance(value, dict | list):
        return msgspec.json.encode(value).decode()
    return str(value)


def _harmless(text: str) -> str:
    """Show what would move a terminal's cursor, or worse: names are other people's."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def size(count: int) -> str:
    """Write a number of bytes for a person."""
    amount = float(count)
    for unit in _UNITS:
        if amount < 1024 or unit == _UNITS[-1]:
            break
        amount /= 1024
    return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
