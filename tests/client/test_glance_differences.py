"""Our glanceclient interface and the real one: the same calls have the same results."""

import importlib
import inspect
import io
import pty
import sys
import threading
import uuid
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from clouds import Cloud
from tintype.client.glance import Client as Ours

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of glanceclient about what it is made of
    from glanceclient import Client as Theirs
    from glanceclient.common import exceptions as their_exceptions
    from glanceclient.common import progressbar as their_progressbar
    from glanceclient.common import utils as their_utils

from tintype.client.glance.common import exceptions, progressbar, utils

pytestmark = pytest.mark.filterwarnings("ignore")

ERRORS = [name for name, each in vars(their_exceptions).items() if inspect.isclass(each) and name != "obj"]
IMPORTED = {
    "": ["Client", "exc", "__version__"],
    "client": ["Client"],
    "exc": [*ERRORS, "from_response"],
    "common.exceptions": ERRORS,
    "common.progressbar": ["VerboseFileWrapper", "VerboseIteratorWrapper"],
    "common.http": ["HTTPClient", "get_http_client"],
    "common.utils": [
        "IterableWithLength",
        "endpoint_version_from_url",
        "env",
        "exit",
        "get_file_size",
        "has_version",
        "integrity_iter",
        "make_size_human_readable",
        "print_err",
        "save_image",
        "serious_integrity_iter",
        "strip_version",
    ],
    "v2.client": ["Client"],
    "v2.images": ["Controller", "DEFAULT_PAGE_SIZE", "SORT_DIR_VALUES", "SORT_KEY_VALUES"],
    "v2.image_members": ["Controller", "MEMBER_STATUS_VALUES"],
    "v2.image_tags": ["Controller"],
    "v2.info": ["Controller"],
    "v2.tasks": ["Controller", "DEFAULT_PAGE_SIZE", "SORT_DIR_VALUES", "SORT_KEY_VALUES"],
    "v2.schemas": ["Controller", "Schema", "SchemaBasedModel", "SchemaProperty"],
    "v2.metadefs": ["NamespaceController", "ObjectController", "PropertyController", "TagController"],
    "v2.versions": ["VersionController"],
    "v2.cache": ["Controller", "TARGET_VALUES"],
}


@pytest.mark.parametrize("module", IMPORTED)
def test_what_programs_import(module: str) -> None:
    """Each name is in the module of the same name; constants have the same values."""
    theirs = importlib.import_module(f"glanceclient.{module}".rstrip("."))
    ours = importlib.import_module(f"tintype.client.glance.{module}".rstrip("."))
    for name in IMPORTED[module]:
        assert hasattr(theirs, name), name
        found = getattr(ours, name)
        if name.isupper():
            assert tuple(found) == tuple(getattr(theirs, name)) if name != "DEFAULT_PAGE_SIZE" else found


def test_errors_are_caught_by_the_same_names() -> None:
    """What is a kind of what there, is so here; codes and messages are the same."""
    for name in ERRORS:
        for other in ERRORS:
            if issubclass(getattr(their_exceptions, name), getattr(their_exceptions, other)):
                assert issubclass(getattr(exceptions, name), getattr(exceptions, other)), (name, other)
        their_code = getattr(getattr(their_exceptions, name), "code", None)
        if isinstance(their_code, int):
            assert getattr(exceptions, name).code == their_code
            assert getattr(exceptions, name)("said").details == "said"


UTILS: list[tuple[str, tuple[Any, ...]]] = [
    *(("make_size_human_readable", (size,)) for size in (None, 0, 1, 1023, 1024, 1536, 10**6, 3 * 1024**3)),
    *(
        ("strip_version", (address,))
        for address in (
            "http://h:9292",
            "http://h:9292/",
            "http://h:9292/v2",
            "http://h:9292/v2.0/",
            "https://h/image/v2",
            "http://h/v17",
            7,
        )
    ),
    *(("endpoint_version_from_url", (address, "2")) for address in (None, "", "http://h", "http://h/v3")),
    ("env", ("NO_SUCH_VARIABLE", "HOME")),
    ("env", ("NO_SUCH_VARIABLE",)),
]


@pytest.mark.parametrize(("name", "arguments"), UTILS)
def test_helpers(name: str, arguments: tuple[Any, ...]) -> None:
    """They give the same for the same."""
    assert outcome(getattr(utils, name), *arguments) == outcome(getattr(their_utils, name), *arguments)


def outcome(call: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return call(*arguments)
    except Exception as error:  # noqa: BLE001  which one it is is what counts
        return type(error).__name__.removeprefix("HTTP")


def test_files(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """An image is saved to a file or standard output; sizes of files are known, those of pipes are not."""
    for module, path in ((utils, tmp_path / "ours"), (their_utils, tmp_path / "theirs")):
        module.save_image(iter([b"a", b"bc"]), path)
        assert path.read_bytes() == b"abc"
        with path.open("rb") as file:
            file.read(1)
            assert module.get_file_size(file) == 3
            assert file.read() == b"bc"
        assert module.get_file_size(io.BytesIO(b"abcd")) == 4
        assert module.get_file_size(object()) is None
        module.save_image([b"x"], None)
        sys.stdout.flush()
    assert capfdbinary.readouterr().out == b"xx"


def test_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a terminal shows is the same; without one nothing is shown; attributes are those of the file."""
    shown = {}
    for module in (progressbar, their_progressbar):
        main, terminal = pty.openpty()
        kept = bytearray()
        reader = threading.Thread(target=lambda: drain(main, kept))  # noqa: B023  ends within the turn
        reader.start()
        with open(terminal, "w") as output:  # noqa: PTH123  a number
            monkeypatch.setattr(sys, "stdout", output)
            file = module.VerboseFileWrapper(io.BytesIO(b"0123456789"), 10)
            assert (file.read(4), file.read(), file.read()) == (b"0123", b"456789", b"")
            assert file.seekable()
            assert list(module.VerboseIteratorWrapper(iter([b"012", b"3456789"]), 10)) == [b"012", b"3456789"]
            assert list(module.VerboseIteratorWrapper(iter([]), 0)) == []
            monkeypatch.undo()
        reader.join()
        shown[module] = bytes(kept)
    assert shown[progressbar] == shown[their_progressbar]
    assert b"100%" in shown[progressbar]


def drain(descriptor: int, kept: bytearray) -> None:
    import os

    try:
        while piece := os.read(descriptor, 1000):
            kept += piece
    except OSError:
        pass  # how a terminal ends
    os.close(descriptor)


@pytest.fixture(scope="module")
def both(cloud: Cloud) -> Iterator[tuple[Any, Any]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield Ours("2", session=cloud.session("alice")), Theirs("2", session=cloud.session("alice"))


CALLS: dict[str, Callable[[Any], Any]] = {
    "no id": lambda client: client.images.get(None),
    "an id that is a number": lambda client: client.images.get(7),
    "no such id": lambda client: client.images.get(str(uuid.UUID(int=1))),
    "members of no id": lambda client: list(client.image_members.list(None)),
    "deletion of no id": lambda client: client.images.delete(None),
    "bytes of no id": lambda client: client.images.data(None),
    "a namespace of no name": lambda client: client.metadefs_namespace.get(None),
    "a tag on no id": lambda client: client.image_tags.update(None, "t"),
    "a path without a slash": lambda client: client.http_client.get("v2/images")[0].status_code,
    "a path with a slash": lambda client: sorted(client.http_client.get("/v2/images")[1]),
    "parameters": lambda client: len(client.http_client.get("v2/images?limit=1")[1]["images"]),
    "an answer": lambda client: client.http_client.get("/v2/schemas/image")[0].json()["name"],
    "headers": lambda client: (
        client.http_client.get("v2/images")[0].headers["CONTENT-type"].partition(";")[0]
    ),
    "a refusal": lambda client: client.http_client.get("v2/nowhere"),
    "filters of bytes": lambda client: names(client, name="föö".encode()),
    "filters of text": lambda client: names(client, name="föö"),
    "filters of numbers": lambda client: names(client, size_min=0),
    "filters of bytes that are no text": lambda client: names(client, name=b"\xff"),
    "a tag of bytes": lambda client: names(client, tag=[b"t"]),
    "a tag": lambda client: names(client, tag=["t"]),
    "a bad filter": lambda client: names(client, size_min="x"),
    "a marker that is none": lambda client: list(client.images.list(marker="x")),
    "a bad sort": lambda client: list(client.images.list(sort_key="nonsense")),
    "usage": lambda client: sorted(client.info.get_usage())[:1],
    "versions": lambda client: sorted({each["status"] for each in client.versions.list()}),
}


def names(client: Any, **filters: Any) -> list[str]:
    return sorted(image.name or "" for image in client.images.list(filters=filters))


@pytest.mark.parametrize("name", CALLS)
def test_calls(name: str, both: tuple[Any, Any]) -> None:
    """They give the same, or raise an error of the same name."""
    ours, theirs = both
    made = [
        theirs.images.create(name="föö", tags=["t"], disk_format="raw", container_format="bare"),
        theirs.images.create(name="other", disk_format="raw", container_format="bare"),
    ]
    expected, found = outcome(CALLS[name], theirs), outcome(CALLS[name], ours)
    for image in made:
        theirs.images.delete(image.id)
    assert found == expected
