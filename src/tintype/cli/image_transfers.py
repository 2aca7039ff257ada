"""`tintype image push`, `upload` and `pull`: transfer image data."""

import contextlib
import os
import sys
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from tintype.cli import output
from tintype.cli.image_options import TAGGED, Named, Properties, Store, completed
from tintype.cli.options import group
from tintype.cli.session import command, pairs
from tintype.client import errors, sniffing
from tintype.client.blocking.client import Client
from tintype.client.models import Image
from tintype.client.progress import Progress

app = group("Bytes.")
_LONGEST_NAME: Final = 255
"""Most bytes in a file name, on nearly all systems."""


@command(app, "push", attributes=TAGGED)
def push(
    client: Client,
    file: Annotated[Path, typer.Argument(help="A disk image, or - for standard input.")],
    name: Annotated[str | None, typer.Option(help="Name of the image. [default: the file's name]")] = None,
    property: Properties = None,  # noqa: A002  the option's name
    store: Store = None,
    *,
    attributes: dict[str, Any],
) -> Image:
    """Create an image from a file. After an interruption, the same command resumes the upload.

    Without --disk-format, the format is detected from the data; on standard input, from the first 68 KiB.
    """
    if file.exists() and not file.is_file():
        raise errors.ClientError(
            f"{file} is not a regular file. To send the output of a command: COMMAND | tintype image push -"
        )
    attributes = {**completed(client, attributes), "properties": pairs(property)}
    with output.progress(f"Push {name or file.name}") as progress:
        if str(file) == "-":
            return _push_stream(client, name, store, progress, attributes)
        return client.images.push(file, name, store=store, progress=progress, **attributes)


@command(app, "upload", prints=False)
def upload(
    client: Client,
    image: Named,
    file: Annotated[Path, typer.Argument(help="A disk image, or - for standard input.")],
    store: Store = None,
    stage: Annotated[bool, typer.Option("--stage", help="Stage the data for a later import.")] = False,
) -> None:
    """Upload the data of an existing image."""
    found = client.images.find(image)
    given = sys.stdin.buffer if str(file) == "-" else file
    with output.progress(f"Upload {found.name or found.id}") as progress:
        if stage:
            client.images.stage(found.id, given, progress=progress)
        else:
            client.images.upload(found.id, given, store=store, progress=progress)


@command(app, "pull", prints=False)
def pull(
    client: Client,
    image: Named,
    file: Annotated[
        Path | None, typer.Argument(help="File to write; - is standard output. [default: the image's name]")
    ] = None,
    parallel: Annotated[int, typer.Option(min=1, max=32, help="Ranges to download in parallel.")] = 4,
    prefer: Annotated[list[str] | None, typer.Option(help="Store to download from; can be repeated.")] = None,
    verify: Annotated[bool, typer.Option(help="Check the data against the image's digest.")] = True,
) -> None:
    """Download the data of an image. After an interruption, the same command resumes the download."""
    found = client.images.find(image)
    target = file or Path()
    if file is not None and not target.parent.is_dir():
        raise typer.BadParameter(f"There is no folder {target.parent}.", param_hint="FILE")
    if target.is_dir():
        target /= _file_of(found)
        if target.exists():  # the image's owner chose the name: never overwrite a file
            raise typer.BadParameter(f"{target} exists already; give another FILE.", param_hint="FILE")
    to_stdout = str(file) == "-"
    with output.progress(f"Pull {found.name or found.id}") as progress:
        client.images.download(
            found.id,
            sys.stdout.buffer if to_stdout else target,
            parallel=parallel,
            progress=progress,
            verify=verify,
            prefer=prefer or (),
        )
    if not to_stdout:
        print(target)


def _push_stream(
    client: Client, name: str | None, store: str | None, progress: Progress, attributes: dict[str, Any]
) -> Image:
    """Create an image from standard input, which cannot be read twice."""
    head, source = sniffing.read_head(sys.stdin.buffer)
    made = client.images.create(name, store=store, **{"disk_format": sniffing.format_of(head), **attributes})
    try:
        client.images.upload(made.id, source, store=store, progress=progress)
    except BaseException:
        with contextlib.suppress(errors.ClientError):
            client.images.delete(made.id)
        raise
    return client.images.get(made.id)


def _file_of(image: Image) -> Path:
    """Return a file name for an image: its own name if that is a valid one, else its id."""
    name = "".join(each for each in Path(image.name or "").name if each.isprintable()).lstrip(".")
    if not _fits(name):
        name = ""
    given = f"{image.id}.{image.disk_format or 'img'}"
    return Path(name or "".join(each for each in given if each.isalnum() or each in "-.").lstrip("."))


def _fits(name: str) -> bool:
    """Return whether the file system accepts a name, even with the suffix of incomplete downloads."""
    try:
        return len(os.fsencode(f"{name}.part.log")) <= _LONGEST_NAME
    except UnicodeEncodeError:
        return False
