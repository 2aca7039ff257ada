"""`tintype gc` and `tintype scrub`: maintenance of stored data."""

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from tintype.cli import admin, output
from tintype.cli.serve import DataDir
from tintype.services.upkeep import Collected, Finding
from tintype.wiring.service import Service


def gc(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print what would be deleted.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Delete data in the stores that belongs to no image, upload or deletion in progress.

    Exits 1 if a store still has such data afterwards, or cannot be listed.
    """

    async def work(service: Service) -> Sequence[Collected]:
        return [each async for each in service.upkeep.collect(dry_run=dry_run)]

    found = admin.with_service(data_dir, work, changes=not dry_run)
    rows = [(each.store, each.key, _what(each, dry_run=dry_run)) for each in found]
    output.table(("store", "key", "what"), rows)
    if any(each.reason for each in found):
        raise typer.Exit(1)


def _what(collected: Collected, *, dry_run: bool) -> str:
    if not collected.key:
        return f"failed: {collected.reason}"
    if collected.reason:
        return f"stays: {collected.reason}"
    return "would be deleted" if dry_run else "deleted"


def scrub(
    images: Annotated[list[str] | None, typer.Argument(help="Ids of images. [default: all images]")] = None,
    data_dir: DataDir = None,
) -> None:
    """Read the stored data and check it against its digests, without changing anything.

    Exits 1 if something is damaged, missing or unreadable.
    """

    async def work(service: Service) -> Sequence[Finding]:
        wanted = {image.lower() for image in images or ()}
        return [finding async for finding in service.upkeep.scrub(wanted)]

    findings = admin.with_service(data_dir, work, changes=False)
    rows = [(each.image_id, each.store, each.blob_id, each.state, each.detail) for each in findings]
    output.table(("image", "store", "blob", "state", "detail"), rows)
    unseen = {image.lower() for image in images or ()} - {finding.image_id for finding in findings}
    for image in sorted(unseen):
        print(f"tintype: no stored bytes of image {image}", file=sys.stderr)
    if unseen or any(finding.state != "ok" for finding in findings):
        raise typer.Exit(1)
