"""`tintype image`: images and their bytes."""

import contextlib
import enum
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from tintype.cli import output
from tintype.cli.session import command, group, pairs
from tintype.client import errors, sniffing
from tintype.client.blocking.client import Client
from tintype.client.models import Image, Task
from tintype.client.progress import Progress

app = group("Images: records, bytes, imports.")
_LONGEST_NAME: Final = 255
"""Bytes of a file's name, on nearly all systems."""
_LIST = ("id", "name", "status", "disk_format", "size", "visibility")


class Visibility(enum.StrEnum):
    """Who may see an image."""

    private = "private"
    shared = "shared"
    community = "community"
    public = "public"


Named = Annotated[str, typer.Argument(metavar="IMAGE", help="Name or id.")]
Several = Annotated[list[str], typer.Argument(metavar="IMAGE...", help="Names or ids.")]
Seen = Annotated[Visibility | None, typer.Option(help="Who may see it.")]
Properties = Annotated[
    list[str] | None,
    typer.Option("--property", metavar="KEY=VALUE", help="A property; may stand several times."),
]
ATTRIBUTES: Final = {
    "visibility": Seen,
    "disk_format": Annotated[str | None, typer.Option(help="qcow2, raw, vmdk, iso and so on.")],
    "container_format": Annotated[str | None, typer.Option(help="bare, ova, docker and so on.")],
    "min_disk": Annotated[int | None, typer.Option(help="GiB of disk that it needs.")],
    "min_ram": Annotated[int | None, typer.Option(help="MiB of memory that it needs.")],
    "protected": Annotated[bool | None, typer.Option("--protected/--unprotected", help="May it be deleted?")],
    "os_hidden": Annotated[bool | None, typer.Option("--hidden/--unhidden", help="Is it left out of lists?")],
}
TAGGED: Final = {
    **ATTRIBUTES,
    "tags": Annotated[list[str] | None, typer.Option("--tag", help="A tag; may stand several times.")],
}
Store = Annotated[str | None, typer.Option(help="Where its bytes shall go.")]


@command(app, "list", *_LIST)
def list_(
    client: Client,
    name: Annotated[str | None, typer.Option(help="Those of this name.")] = None,
    status: Annotated[str | None, typer.Option(help="queued, active and so on.")] = None,
    visibility: Annotated[Visibility | None, typer.Option(help="Those that these may see.")] = None,
    owner: Annotated[str | None, typer.Option(help="Those of this project.")] = None,
    member_status: Annotated[
        str | None, typer.Option(help="Shared ones: accepted, pending, rejected, all.")
    ] = None,
    tag: Annotated[
        list[str] | None, typer.Option(help="Those with this tag; may stand several times.")
    ] = None,
    property: Properties = None,  # noqa: A002  the option's name
    hidden: Annotated[bool, typer.Option("--hidden", help="The hidden ones.")] = False,
    size_min: Annotated[int | None, typer.Option(help="Of at least so many bytes.")] = None,
    size_max: Annotated[int | None, typer.Option(help="Of at most so many bytes.")] = None,
    sort: Annotated[str, typer.Option(help="KEY[:asc|desc],…")] = "created_at:desc",
    limit: Annotated[int | None, typer.Option(min=1, help="Only so many.")] = None,
) -> Iterator[Image]:
    """List images, the newest first."""
    found = client.images.list(
        properties=pairs(property),
        name=name,
        status=status,
        visibility=visibility,
        owner=owner,
        member_status=member_status,
        tag=tag,
        os_hidden=hidden or None,
        size_min=size_min,
        size_max=size_max,
        sort=sort,
        limit=min(limit or 1000, 1000),
    )
    for number, image in enumerate(found, 1):
        yield image
        if number == limit:
            return


@command(app, "show")
def show(client: Client, image: Named) -> Image:
    """Show an image."""
    return client.images.find(image)


@command(app, "create", attributes=TAGGED)
def create(
    client: Client,
    name: Annotated[str | None, typer.Argument(help="Its name.")] = None,
    image_id: Annotated[str | None, typer.Option("--id", help="Its id, a UUID.")] = None,
    property: Properties = None,  # noqa: A002  the option's name
    store: Store = None,
    *,
    attributes: dict[str, Any],
) -> Image:
    """Make an image without bytes: they are uploaded, staged or imported later."""
    if image_id is not None:
        attributes["id"] = image_id
    return client.images.create(name, store=store, properties=pairs(property), **attributes)


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

    The format is seen from the bytes where it is not said; of standard input from its first ones.
    """
    if file.exists() and not file.is_file():
        raise errors.ClientError(
            f"{file} is no file. What another command writes is sent by: … | tintype image push -"
        )
    attributes["properties"] = pairs(property)
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


@command(app, "set", prints=False, attributes=ATTRIBUTES)
def change(
    client: Client,
    image: Named,
    name: Annotated[str | None, typer.Option(help="Another name.")] = None,
    property: Properties = None,  # noqa: A002  the option's name
    remove: Annotated[list[str] | None, typer.Option(metavar="KEY", help="A property to take away.")] = None,
    *,
    attributes: dict[str, Any],
) -> None:
    """Change an image."""
    if name is not None:
        attributes["name"] = name
    properties = pairs(property)
    if not attributes and not properties and not remove:
        raise typer.BadParameter("Nothing to change: say what, for example --name.")
    found = client.images.find(image)
    client.images.update(found.id, remove=remove or (), properties=properties, **attributes)


@command(app, "delete", prints=False)
def delete(client: Client, images: Several) -> None:
    """Delete images; what cannot be deleted does not keep the others."""
    _each(images, lambda image: client.images.delete(client.images.find(image).id))


@command(app, "deactivate", prints=False)
def deactivate(client: Client, images: Several) -> None:
    """Close access to the bytes of images."""
    _each(images, lambda image: client.images.deactivate(client.images.find(image).id))


@command(app, "reactivate", prints=False)
def reactivate(client: Client, images: Several) -> None:
    """Open access to the bytes of images again."""
    _each(images, lambda image: client.images.reactivate(client.images.find(image).id))


@command(app, "import")
def import_(
    client: Client,
    image: Named,
    uri: Annotated[str | None, typer.Option(help="Address to fetch it from (web-download).")] = None,
    method: Annotated[
        str | None, typer.Option(help="[default: web-download with --uri, else glance-direct]")
    ] = None,
    expected_hash: Annotated[
        str | None, typer.Option(metavar="ALGORITHM:HEX", help="What it must hash to.")
    ] = None,
    remote_region: Annotated[
        str | None, typer.Option(help="Region to fetch it from (glance-download).")
    ] = None,
    remote_id: Annotated[str | None, typer.Option(help="Its id there.")] = None,
    store: Annotated[list[str] | None, typer.Option(help="Where to; may stand several times.")] = None,
    all_stores: Annotated[bool, typer.Option("--all-stores", help="Into every store.")] = False,
    allow_failure: Annotated[
        bool, typer.Option("--allow-failure", help="One of several stores may fail.")
    ] = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for its end.")] = True,
) -> Image:
    """Have the server fetch an image's bytes, take staged ones, or copy them to other stores."""
    found = client.images.find(image)
    algorithm, _, digest = (expected_hash or "").partition(":")
    before = _tasks_of(client, found)
    client.images.import_(
        found.id,
        method or ("web-download" if uri else "glance-download" if remote_region else "glance-direct"),
        uri=uri,
        expected_hash=(algorithm, digest) if expected_hash else None,
        remote_region=remote_region,
        remote_image_id=remote_id,
        stores=store or (),
        all_stores=all_stores,
        must_succeed=False if allow_failure else None,
    )
    return _waited(client, found, before) if wait else client.images.get(found.id)


@command(app, "copy")
def copy(
    client: Client,
    image: Named,
    store: Annotated[list[str] | None, typer.Option(help="Where to; may stand several times.")] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for its end.")] = True,
) -> Image:
    """Copy an image into other stores; without --store into all."""
    found = client.images.find(image)
    before = _tasks_of(client, found)
    client.images.import_(found.id, "copy-image", stores=store or (), all_stores=not store)
    return _waited(client, found, before) if wait else client.images.get(found.id)


@command(app, "wait")
def wait(
    client: Client,
    image: Named,
    within: Annotated[float, typer.Option(help="Seconds to wait at most.")] = 3600.0,
) -> Image:
    """Wait until an image is active and nothing works on it."""
    found = client.images.find(image)
    with output.progress(f"Wait for {found.name or found.id}") as progress:
        return client.images.wait(found.id, within=within, progress=progress)


@command(app, "tasks", "id", "type", "status", "message", "created_at")
def tasks(client: Client, image: Named) -> list[Task]:
    """List what the server has done for an image."""
    return client.images.tasks(client.images.find(image).id)


@command(app, "locations", "url", "metadata")
def locations(client: Client, image: Named) -> Any:
    """Tell where an image's bytes are: for services."""
    return client.locations.list(client.images.find(image).id)


def _push_stream(
    client: Client, name: str | None, store: str | None, progress: Progress, attributes: dict[str, Any]
) -> Image:
    """Make an image of standard input, which nobody can read twice."""
    peek = getattr(sys.stdin.buffer, "peek", bytes)  # gives what has come, which is read again
    head: bytes = peek()
    formats = {"disk_format": sniffing.format_of(head), "container_format": "bare"}
    made = client.images.create(name, store=store, **{**formats, **attributes})
    try:
        client.images.upload(made.id, sys.stdin.buffer, store=store, progress=progress)
    except BaseException:
        with contextlib.suppress(errors.ClientError):
            client.images.delete(made.id)
        raise
    return client.images.get(made.id)


def _tasks_of(client: Client, image: Image) -> set[str]:
    """Give what was done for an image so far; nothing where the server does not tell (before 2.12)."""
    try:
        return {task.id for task in client.images.tasks(image.id)}
    except (errors.NotFound, errors.Forbidden):
        return set()


def _waited(client: Client, image: Image, before: set[str]) -> Image:
    with output.progress(f"Import {image.name or image.id}") as progress:
        return client.images.wait(image.id, progress=progress, known=before)


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


def _each(names: list[str], work: Any) -> None:
    failed = False
    for name in names:
        try:
            work(name)
        except errors.ClientError as error:
            failed = True
            print(f"tintype: {output.one_line(f'{name}: {error}')}", file=sys.stderr)
    if failed:
        raise typer.Exit(1)
