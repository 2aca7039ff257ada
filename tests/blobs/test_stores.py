"""Every store passes the shipped conformance suite."""

import functools
import http.server
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from tintype.blobs.base import BlobStore
from tintype.blobs.filesystem import FilesystemStore
from tintype.blobs.http import HttpStore
from tintype.blobs.marks import set_folder_mark
from tintype.blobs.memory import MemoryStore
from tintype.blobs.web import Web
from tintype.domain.addresses import WebRules
from tintype.errors import Unavailable
from tintype.testing import stores as conformance
from tintype.testing.stores import Check


def name(check: Check) -> str:
    return check.__name__


@pytest_asyncio.fixture
async def files(tmp_path: Path) -> AsyncIterator[FilesystemStore]:
    store = FilesystemStore("files", tmp_path)
    mark = set_folder_mark(tmp_path, "mark")
    yield store
    assert [path.read_text().strip() for path in tmp_path.rglob("*") if path.is_file()] == [mark]
    await store.close()


@pytest.mark.parametrize("check", conformance.checks_of(FilesystemStore("files", Path())), ids=name)
async def test_files(files: FilesystemStore, check: Check) -> None:
    """Files in a folder do what a store must."""
    await check(files, conformance.by_writing(files))


async def test_a_folder_that_is_not_mounted(files: FilesystemStore, tmp_path: Path) -> None:
    """It has no bytes, but nobody takes them for deleted: they are there again when it is."""
    await conformance.by_writing(files)("key", b"bytes")
    (tmp_path / "ke").rename(tmp_path.parent / f"{tmp_path.name}-away")
    (tmp_path / ".tintype-store").rename(tmp_path.parent / f"{tmp_path.name}-mark")
    for work in (files.size("key"), files.delete("key")):
        with pytest.raises(Unavailable, match="missing or not mounted"):
            await work
    (tmp_path.parent / f"{tmp_path.name}-away").rename(tmp_path / "ke")
    (tmp_path.parent / f"{tmp_path.name}-mark").rename(tmp_path / ".tintype-store")
    assert await files.size("key") == 5
    await files.delete("key")
    assert await files.size("key") is None


async def test_a_folder_that_cannot_be_used(tmp_path: Path) -> None:
    """One that is not mounted, and one where something else stands in the place of half-written bytes."""
    store = FilesystemStore("files", tmp_path / "files")
    await conformance.says_what_is_wrong(store)
    (tmp_path / "files").mkdir()
    await conformance.says_what_is_wrong(store)
    set_folder_mark(tmp_path / "files", "mark")
    await store.check()
    (tmp_path / "files" / "partial").write_text("in the way")
    await conformance.says_what_is_wrong(store)


async def test_a_web_server_that_is_silent() -> None:
    """A store that has an address of its own is asked there; one that has none cannot be."""
    await conformance.says_what_is_wrong(HttpStore("web", "http://127.0.0.1:1/", Web(TRUSTED)))
    await HttpStore("web", None, Web(TRUSTED)).check()


@pytest.mark.parametrize("check", conformance.checks_of(MemoryStore("memory", 1)), ids=name)
async def test_memory(check: Check) -> None:
    """Memory does what a store must."""
    store = MemoryStore("memory", 100 << 20)
    await check(store, conformance.by_writing(store))
    assert store.ready == store.partial == {}


@pytest.fixture(params=["ranges", "no ranges"])
def web(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[tuple[str, Path]]:
    """Serve a folder, by a server that knows ranges or one that does not."""
    handler = _Ranges if request.param == "ranges" else _Quiet
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(handler, directory=str(tmp_path))
    )
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/", tmp_path
    server.shutdown()
    thread.join()
    server.server_close()


TRUSTED = WebRules(anywhere=True)
READ_ONLY = conformance.checks_of(HttpStore("web", "http://localhost", Web(TRUSTED)), read_only=True)


@pytest.mark.parametrize("check", READ_ONLY, ids=name)
async def test_http(web: tuple[str, Path], check: Check) -> None:
    """A web server does what a read-only store must."""
    url, folder = web
    store: BlobStore = HttpStore("web", url, Web(TRUSTED))

    async def put(key: str, data: bytes) -> None:
        (folder / key).write_bytes(data)

    await check(store, put)
    await store.close()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""

    def copyfile(self, source: object, outputfile: object) -> None:
        """Expect readers to go away."""
        try:
            super().copyfile(source, outputfile)  # type: ignore[arg-type]
        except ConnectionError:
            self.close_connection = True


class _Ranges(_Quiet):
    def do_GET(self) -> None:
        """Give a range, as a real web server does."""
        path = Path(self.directory) / urlsplit(self.path).path.lstrip("/")
        if not path.is_file():
            self.send_error(404)
            return
        start, stop = self.headers["Range"].removeprefix("bytes=").split("-")
        data = path.read_bytes()[int(start) : int(stop) + 1]
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {start}-{int(start) + len(data) - 1}/{path.stat().st_size}")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
