"""`tintype catalogue`: load metadata definitions from files, and export them."""

import itertools
import re
import sys
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from tintype.api.wire import parse_json
from tintype.cli import admin, output
from tintype.cli.options import group
from tintype.cli.serve import DataDir
from tintype.domain.metadef_documents import NamespaceBody, document, from_file, new_namespace
from tintype.errors import StartError, TintypeError
from tintype.services.catalogue import Catalogue, Mode, shipped

app = group("Load and export metadata definitions, which describe image properties.")


@app.command("load")
def load(
    path: Annotated[
        Path | None,
        typer.Argument(help="A file or folder. [default: the shipped definitions]"),
    ] = None,
    merge: Annotated[bool, typer.Option("--merge", help="Add missing definitions.")] = False,
    prefer_new: Annotated[
        bool, typer.Option("--prefer-new", help="Add missing definitions, and replace those that differ.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace whole namespaces.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Load namespaces from JSON files in Glance's format, all or none. Existing namespaces stay."""
    if prefer_new and overwrite:
        raise StartError("Choose one of --prefer-new and --overwrite.")
    mode: Mode = "overwrite" if overwrite else "prefer-new" if prefer_new else "merge" if merge else "keep"
    bodies = shipped() if path is None else _read_all(_files(path))
    output.table(
        ("namespace", "what"),
        admin.with_database(data_dir, lambda database: Catalogue(database).load(bodies, mode)),
    )


@app.command("export")
def export(
    folder: Annotated[Path, typer.Argument(help="Created if missing; files of the same names are replaced.")],
    data_dir: DataDir = None,
) -> None:
    """Write every namespace to a JSON file in Glance's format."""
    namespaces = admin.with_database(data_dir, lambda database: Catalogue(database).export())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for each, name in zip(namespaces, _names([each.namespace for each in namespaces]), strict=True):
            text = msgspec.json.format(msgspec.json.encode(document(each)), indent=2)
            (folder / name).write_bytes(text + b"\n")
    except OSError as error:
        raise StartError(f"Cannot write to {folder}: {error.strerror}.") from None
    print(f"{len(namespaces)} namespaces in {folder}")


@app.command("unload")
def unload(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False, data_dir: DataDir = None
) -> None:
    """Delete all namespaces, including protected ones."""
    if not yes:
        typer.confirm("Delete every namespace of metadata definitions?", abort=True)
    admin.with_database(data_dir, lambda database: Catalogue(database).unload())


def _files(path: Path) -> list[Path]:
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    if not files:
        raise StartError(f"There is no file *.json in {path}.")
    return files


def _read_all(paths: list[Path]) -> list[NamespaceBody]:
    found: dict[str, Path] = {}
    bodies = []
    for path in paths:
        body = _read(path)
        if other := found.get(body.namespace):
            raise StartError(f"Nothing was loaded: {other} and {path} both define {body.namespace}.")
        found[body.namespace] = path
        bodies.append(body)
    return bodies


def _read(path: Path) -> NamespaceBody:
    try:
        body = from_file(parse_json(path.read_bytes(), most=sys.maxsize))
        new_namespace(body, namespace_id="", owner=None, now=0)  # raises for duplicate names
    except OSError as error:
        raise StartError(f"Cannot read {path}: {error.strerror}.") from None
    except TintypeError as error:
        raise StartError(f"Nothing was loaded: {path}: {error.message}") from None
    return body


def _names(namespaces: list[str]) -> list[str]:
    """Return a file name for each namespace; a number makes equal names unique."""
    names: list[str] = []
    for namespace in namespaces:
        stem = re.sub(r"[^\w.]+", "-", namespace).strip("-.").lower() or "namespace"
        numbered = (f"{stem}-{number}.json" for number in itertools.count(2))
        names.append(next(name for name in itertools.chain([f"{stem}.json"], numbered) if name not in names))
    return names
