"""`tintype gc` and `tintype scrub`: what an operator looks after now and then."""

from collections.abc import Sequence
from typing import Annotated

import typer

from tintype.cli import output
from tintype.cli.serve import DataDir
from tintype.server import Parts
from tintype.services.upkeep import Finding, Orphan


def gc(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be deleted.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Delete bytes in the stores that no image, upload or deletion in progress knows of."""

    async def work(parts: Parts) -> list[Orphan]:
        found = [orphan async for orphan in parts.upkeep.orphans()]
        if not dry_run:
            for orphan in found:
                await parts.upkeep.delete(orphan)
        return found

    orphans = output.with_parts(data_dir, work)
    done = "would be deleted" if dry_run else "deleted"
    output.table(("store", "key", "what"), [(orphan.store, orphan.key, done) for orphan in orphans])


def scrub(
    images: Annotated[list[str] | None, typer.Argument(help="Ids of images; without them, all.")] = None,
    data_dir: DataDir = None,
) -> None:
    """Read the stored bytes and hold them against their digests. Changes nothing; exits 1 for damage."""

    async def work(parts: Parts) -> Sequence[Finding]:
        wanted = {image.lower() for image in images or ()}
        return [finding async for finding in parts.upkeep.scrub(wanted)]

    findings = output.with_parts(data_dir, work)
    rows = [(each.image_id, each.store, each.blob_id, each.state, each.detail) for each in findings]
    output.table(("image", "store", "blob", "state", "detail"), rows)
    if any(finding.state != "ok" for finding in findings):
        raise typer.Exit(1)
