"""`tintype image push`, `upload` and `pull`: bytes between here and the server."""

import contextlib
import os
import sys
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from tintype.cli import output
from tintype.cli.image_options import TAGGED, Named, Properties, Store, completed
from tintype.cli.session import command, group, pairs
from tintype.client import errors, sniffing
from tintype.client.blocking.client import Client
from tintype.client.models import Image
from tintype.client.progress import Progress

app = group("Bytes.")
_LONGEST_NAME: Final = 255
"""Bytes of a file's name, on nearly all systems."""


@command(app, "push", attributes=TAGGED)
def push(
    client: Client,
    file: Annotated[Path, typer.Argument(help="A disk image, or - for standard input.")],
    name: Annotated[str | None, typer.Option(help="Its name. [default: the file's]")] = None,
    property: Properties = None,  # noqa: A002  the option's name
    store: Store = None,
    *,
    attributes: dict[str, Any],
) -> Image:
    """Make an image of a file and send its bytes. After a break the same command goes on where it was.

    The format is seen from the bytes where it is not said; of standard input from its first 68 KiB.
    """
    if file.exists() and not file.is_file():
        raise errors.ClientError(
            f"{file} is no file. What another command writes is sent by: … | tintype image push -"
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
    stage: Annotated[bool, typer.Option("--stage", help="Keep the bytes for an import.")] = False,
) -> None:
    """Send the bytes of an image that is there already."""
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
        Path | None, typer.Argument(help="Where to; - is standard output. [default: the image's name]")
    ] = None,
    parallel: Annotated[int, typer.Option(min=1, max=32, help="Ranges at once.")] = 4,
    prefer: Annotated[list[str] | None, typer.Option(help="A store to take it from.")] = None,
    verify: Annotated[bool, typer.Option(help="Hold the bytes against the image's digest.")] = True,
) -> None:
    """Fetch the bytes of an image. After a break the same command goes on where it was."""
    found = client.images.find(image)
    target = file or Path()
    if file is not None and not target.parent.is_dir():
        raise typer.BadParameter(f"There is no folder {target.parent}.", param_hint="FILE")
    if target.is_dir():
        target /= _file_of(found)
        if target.exists():  # its owner chose that name, not who pulls it
            raise typer.BadParameter(f"{target} is there already; say where to.", param_hint="FILE")
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
    """Make an image of standard input, which nobody can read twice."""
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
    """Give a file name for an image: its own name, if that is one, in this folder."""
    name = "".join(each for each in Path(image.name or "").name if each.isprintable()).lstrip(".")
    if not _fits(name):
        name = ""
    given = f"{image.id}.{image.disk_format or 'img'}"
    return Path(name or "".join(each for each in given if each.isalnum() or each in "-.").lstrip("."))


def _fits(name: str) -> bool:
    """Return whether the file system takes a name, also with the ending of what is not complete yet."""
    try:
        return len(os.fsencode(f"{name}.part.log")) <= _LONGEST_NAME
    except UnicodeEncodeError:
        return False
