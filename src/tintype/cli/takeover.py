"""`tintype import-glance`: migrates from Glance."""

import asyncio
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer

from tintype import glance, settings
from tintype.blobs.base import BlobStore
from tintype.cli import admin, output
from tintype.cli.rehearsal import rehearse
from tintype.cli.serve import DataDir
from tintype.configuration import load
from tintype.db.engine import Database
from tintype.domain import property_schema
from tintype.domain.images import BASE_ATTRIBUTES
from tintype.errors import StartError
from tintype.glance import Configuration, Record
from tintype.policy.engine import read_rules
from tintype.services.catalogue import ADDED, KEPT, REPLACED, Catalogue
from tintype.services.takeover import DELETED, KNOWN, LEFT, TAKEN, UPDATED, Takeover
from tintype.settings import stores as store_settings
from tintype.wiring.policy import compile_policy
from tintype.wiring.service import Service

_BARE: Final = re.compile("[A-Za-z0-9_-]+")


def import_glance(
    config: Annotated[Path, typer.Option(help="Glance's glance-api.conf.")],
    policy: Annotated[
        Path | None, typer.Option(help="Glance's policy.yaml, to install as the policy file.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print what would be done.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Import the images and metadata definitions of a Glance; image data stays in place. Can be repeated.

    A schema-image.json beside the configuration is imported, too.
    Stop Glance first, or run this again after it has stopped. Exits 1 if something was not imported.
    """
    found = glance.read_configuration(config)
    chosen = load(data_dir, os.environ) if dry_run else admin.existing(data_dir)
    homes = _stores_by_location(chosen)
    _print_missing_stores(found, homes)
    if policy is not None:
        _install_policy(policy, chosen, dry_run=dry_run)
    _install_schema(config.with_name("schema-image.json"), chosen, dry_run=dry_run)

    async def work(database: Database, stores: Mapping[str, BlobStore]) -> None:
        takeover = Takeover(database, stores, homes, dry_run=dry_run)
        loop = asyncio.get_running_loop()

        def import_all(records: Iterator[Record]) -> None:
            for record in records:
                outcome = asyncio.run_coroutine_threadsafe(takeover.import_image(record), loop).result()
                counts[outcome.what] += 1
                if outcome.detail:
                    notes.append((outcome.image_id, outcome.name, outcome.what, outcome.detail))

        await asyncio.to_thread(glance.read_records, found.database, import_all)
        metadefs = await asyncio.to_thread(glance.read_metadefs, found.database)
        catalogue = Catalogue(database)
        taken = await catalogue.import_namespaces(metadefs.namespaces, metadefs.types, dry_run=dry_run)
        namespaces.update(what for _, what, _ in taken)
        notes.extend(("", name, what, why) for name, what, why in taken if why)

    counts: Counter[str] = Counter()
    namespaces: Counter[str] = Counter()
    notes: list[tuple[str, str, str, str]] = []
    if dry_run:
        rehearse(chosen, work)
    else:
        admin.with_service(data_dir, lambda service: work(service.database, service.stores), claims=True)
    output.table(("image", "name", "what", "detail"), notes)
    _print_summary(counts, namespaces)
    if counts[LEFT] or namespaces[LEFT]:
        raise typer.Exit(1)


def _print_summary(images: Counter[str], namespaces: Counter[str]) -> None:
    print(", ".join(f"{images[what]} {what}" for what in (TAKEN, UPDATED, KNOWN, DELETED, LEFT)))
    print("namespaces of metadata definitions:", end=" ")
    print(", ".join(f"{namespaces[what]} {what}" for what in (ADDED, REPLACED, KEPT, DELETED, LEFT)))


def _stores_by_location(chosen: settings.Settings) -> Mapping[tuple[str, str], str]:
    homes = {}
    for name, store in chosen.stores.items():
        match store:
            case store_settings.FileStore():
                homes["file", os.path.realpath(chosen.data_dir / store.folder)] = name
            case store_settings.RbdStore():
                homes["rbd", store.pool] = name
            case store_settings.S3Store() if store.prefix:  # without one, its objects would look like ours
                homes["s3", f"{glance.host_of(store.endpoint or '')}/{store.bucket}"] = name
    return homes


def _print_missing_stores(found: Configuration, homes: Mapping[tuple[str, str], str]) -> None:
    missing = []
    for name, store in found.stores.items():
        within = store.get("folder") or store.get("pool") or ""
        if store.get("type") == "s3":
            within = f"{glance.host_of(store['endpoint'])}/{store['bucket']}"
        if store and (store["type"], within) not in homes:
            header = f"[stores.{name if _BARE.fullmatch(name) else _quoted(name)}]"
            missing.append([header, *(f"{option} = {_quoted(value)}" for option, value in store.items())])
    if missing:
        print("Glance has stores that are not in the settings. To take their images, add to tintype.toml:\n")
    for section in missing:
        print("\n".join(section) + "\n")


def _quoted(text: str) -> str:
    """Return a TOML string; JSON's escapes are valid in TOML."""
    return msgspec.json.encode(text).decode()


def _install_policy(path: Path, chosen: settings.Settings, *, dry_run: bool) -> None:
    """Install a policy file if it is valid."""
    text = _read("policy file", path)
    compile_policy(read_rules(text, str(path)), str(path))
    if _install(text, chosen.data_dir / chosen.policy.file, dry_run=dry_run):
        _ = Service(chosen).policy  # logs which rules are not used here


def _install_schema(path: Path, chosen: settings.Settings, *, dry_run: bool) -> None:
    """Install the schema of image properties, if Glance has one."""
    if not path.exists():
        return
    text = _read("image schema", path)
    try:
        property_schema.read(text, BASE_ATTRIBUTES)
    except ValueError as error:
        raise StartError(f"Cannot use the image schema {path}: {error}.") from None
    target = chosen.data_dir / chosen.images.schema_file
    _install(text, target, dry_run=dry_run)
    print(f"The image schema {path} is{' to be' if dry_run else ''} in force here as {target}.")


def _read(noun: str, path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StartError(f"Cannot read the {noun} {path}: {error}.") from None


def _install(text: str, target: Path, *, dry_run: bool) -> bool:
    """Write a file and keep the previous one beside it; return whether anything changed."""
    if dry_run or (target.exists() and target.read_text(encoding="utf-8") == text):
        return False
    draft = target.with_name(f"{target.name}.new")
    draft.write_text(text, encoding="utf-8")
    if target.exists():
        target.replace(target.with_name(f"{target.name}.before"))
    draft.replace(target)
    return True
