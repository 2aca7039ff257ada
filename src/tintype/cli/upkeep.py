"""`tintype gc` and `tintype scrub`: what an operator looks after now and then."""

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from tintype.cli import admin, output
from tintype.cli.serve import DataDir
from tintype.errors import TintypeError
from tintype.parts import Parts
from tintype.services.upkeep import Finding, Orphan


def gc(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be deleted.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Delete bytes in the stores that no image, upload or deletion in progress knows of."""

    async def work(parts: Parts) -> list[tuple[str, str, str]]:
        return [
            (orphan.store, orphan.key, await _collect(parts, orphan, dry_run=dry_run))
            async for orphan in parts.upkeep.orphans()
        ]

    rows = admin.with_parts(data_dir, work, changes=not dry_run)
    output.table(("store", "key", "what"), rows)
    if any(what.startswith("stays") for _, _, what in rows):
        raise typer.Exit(1)


async def _collect(parts: Parts, orphan: Orphan, *, dry_run: bool) -> str:
    if dry_run:
        return "would be deleted"
    try:
        await parts.upkeep.delete(orphan)
    except TintypeError as error:  # others may still be deleted
        return f"stays: {error.message}"
    return "deleted"


def scrub(
    images: Annotated[list[str] | None, typer.Argument(help="Ids of images; without them, all.")] = None,
    data_dir: DataDir = None,
) -> None:
    """Read the stored bytes and hold them against their digests. Changes nothing.

    Exits 1 where something is damaged, missing or cannot be read.
    """

    async def work(parts: Parts) -> Sequence[Finding]:
        wanted = {image.lower() for image in images or ()}
        return [finding async for finding in parts.upkeep.scrub(wanted)]

    findings = admin.with_parts(data_dir, work, changes=False)
    rows = [(each.image_id, each.store, each.blob_id, each.state, each.detail) for each in findings]
    output.table(("image", "store", "blob", "state", "detail"), rows)
    unseen = {image.lower() for image in images or ()} - {finding.image_id for finding in findings}
    for image in sorted(unseen):
        print(f"tintype: no stored bytes of image {image}", file=sys.stderr)
    if unseen or any(finding.state != "ok" for finding in findings):
        raise typer.Exit(1)
