"""Output formats for programs: JSON, YAML, CSV, shell variables, plain values."""

import csv
import enum
import json
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from tintype.cli import streams


class Format(enum.StrEnum):
    """How results are printed."""

    table = "table"
    json = "json"
    yaml = "yaml"
    csv = "csv"
    shell = "shell"
    value = "value"


def write_json(value: Any) -> None:
    """Print JSON; in ASCII if the output's encoding is not Unicode."""
    if streams.encodes_unicode():
        print(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())
    else:
        print(json.dumps(value, indent=2))


def write_yaml(value: Any) -> None:
    """Print YAML; in ASCII if the output's encoding is not Unicode."""
    import yaml  # slow to import, and only needed here

    print(yaml.safe_dump(value, sort_keys=False, allow_unicode=streams.encodes_unicode()), end="")


def write_csv(names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Print comma-separated values with a header (RFC 4180, lines ending in LF)."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([cell(row.get(name)) for name in names] for row in rows)


def write_shell(names: Sequence[str], record: Mapping[str, Any], own: frozenset[str]) -> None:
    """Print assignments for `eval` in a shell. Values are quoted.

    Names that are not in `own` are properties, and users choose their names: their variables begin with
    `property_`, so that none can replace a variable such as PATH.
    """
    for name in names:
        variable = re.sub(r"[^A-Za-z0-9_]", "_", name if name in own else f"property_{name}")
        print(f"{variable}={shlex.quote(cell(record.get(name)))}")


def cell(value: Any) -> str:
    """Return a value as text."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return ",".join(value)
    if isinstance(value, dict | list):
        return msgspec.json.encode(value).decode()
    return str(value)
