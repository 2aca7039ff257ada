"""Prints results: tables for people, other formats for programs, and progress bars."""

import contextlib
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
import typer
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from tintype.cli import formats
from tintype.cli.formats import Format
from tintype.client.progress import Progress

_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_SIZES: Final = frozenset({"size", "virtual_size"})


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows with column names: a table on a terminal, otherwise lines with tabs."""
    if not sys.stdout.isatty():
        for row in (columns, *rows):
            print("\t".join(harmless(cell) for cell in row))
        return
    shown = Table(*(Column(Text(harmless(column))) for column in columns))
    for row in rows:
        shown.add_row(*(Text(harmless(cell)) for cell in row))
    Console().print(shown)


def show(result: Any, form: Format, columns: Sequence[str], default: Sequence[str]) -> None:
    """Print the result of a command: one record or several; nothing for None.

    `columns` are the requested columns. Without any, JSON and YAML have all columns, and lists in the other
    formats have the `default` ones. Raises BadParameter for a column that no record has, and for a list as
    shell variables.
    """
    if result is None:
        return
    result = list(result) if isinstance(result, Iterator) else result
    records: Any = _plain(result)
    several = isinstance(records, list)
    rows: list[dict[str, Any]] = records if several else [records]
    _check(columns, rows, default)
    if form in {Format.json, Format.yaml}:
        write = formats.write_json if form is Format.json else formats.write_yaml
        write(_chosen(records, columns))
        return
    known = (columns or default) if several else columns
    names = list(known or dict.fromkeys(name for row in rows for name in row))
    if form is Format.shell:
        if several:
            raise typer.BadParameter(
                "The format shell is for one record, not for lists.", param_hint="--format"
            )
        formats.write_shell(names, records, _own(result))
    elif form is Format.csv:
        formats.write_csv(names, rows)
    elif form is Format.value:
        for row in rows:
            cells = [formats.cell(row.get(name)) for name in names]
            print(*map(harmless, cells), sep=" " if several else "\n")
    else:
        _show_table(names, records, columns)


def _show_table(names: Sequence[str], records: Any, columns: Sequence[str]) -> None:
    exact = not sys.stdout.isatty()
    if isinstance(records, list):
        table(names, ([_cell(row.get(name), name, exact=exact) for name in names] for row in records))
    else:
        filled = [name for name in names if columns or records[name] is not None]
        table(("field", "value"), ((name, _cell(records.get(name), name, exact=exact)) for name in filled))


def _check(columns: Sequence[str], rows: Sequence[Mapping[str, Any]], default: Sequence[str]) -> None:
    """Raise BadParameter for columns that no record has. For an empty list the columns are unknown."""
    known = dict.fromkeys([*default, *(name for row in rows for name in row)])
    unknown = [name for name in columns if name not in known]
    if unknown and rows:
        raise typer.BadParameter(
            f"There is no column {', '.join(map(harmless, unknown))}. There are: "
            f"{', '.join(map(harmless, known))}.",
            param_hint="--column",
        )


def _own(result: Any) -> frozenset[str]:
    """Return the names of a record's attributes, without properties."""
    return frozenset(result.__struct_encode_fields__ if isinstance(result, msgspec.Struct) else result)


@contextlib.contextmanager
def progress(what: str) -> Iterator[Progress]:
    """Show a progress bar with rate and remaining time on standard error, if that is a terminal."""
    from rich.progress import (  # slow to import, and only needed here
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
        bar = bars.add_task(harmless(what).replace("[", "\\["), total=None)
        yield lambda done, total: bars.update(bar, completed=done, total=total)


def _plain(value: Any) -> Any:
    """Convert one record or several to JSON types; an image's properties are among its attributes."""
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


def _cell(value: Any, name: str, *, exact: bool) -> str:
    if name in _SIZES and not exact and isinstance(value, int):
        return size(value)
    return formats.cell(value)


def harmless(text: str) -> str:
    """Escape control characters, which could manipulate a terminal: names are untrusted."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def one_line(text: str) -> str:
    """Return an untrusted message on one line, with control characters escaped."""
    return harmless(" ".join(text.split()))


def size(count: int) -> str:
    """Format a number of bytes for people."""
    amount = float(count)
    for unit in _UNITS:
        if amount < 1024 or unit == _UNITS[-1]:
            break
        amount /= 1024
    return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
