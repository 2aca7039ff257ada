"""Bytes against a real server process: what networks, disks and clients do to them."""

import contextlib
import functools
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiotus
import httpx2
import pytest
from tusclient.client import TusClient

from processes import Api, Server, answers, eventually, free_ports, make_certificate, started

MIB = 1 << 20
JS = Path(__file__).parent / "js"


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """Give a server that is patient for one second."""
    folder = tmp_path_factory.mktemp("bytes") / "data"
    impatient: dict[str, Any] = {"TINTYPE_SERVER_SILENT_SECONDS": "1", "TINTYPE_SERVER_UNREAD_SECONDS": "1"}
    with started(folder, **impatient) as server:
        api = Api(server)
        yield api
        api.http.close()


def test_chunks_of_any_size(api: Api) -> None:
    """Chunked bodies with chunks of 64 MiB, as Nova sends snapshots: no limit on a chunk."""
    image = api.image()
    chunk = os.urandom(64 * MIB)
    connection = api.connect(
        "PUT", f"{image}/file", "Content-Type: application/octet-stream", "Transfer-Encoding: chunked"
    )
    for _ in range(2):
        connection.sendall(b"4000000\r\n" + chunk + b"\r\n")
    connection.sendall(b"0\r\n\r\n")
    assert connection.recv(100).startswith(b"HTTP/1.1 204")
    connection.close()
    shown = api.show(image)
    assert (shown["status"], shown["size"]) == ("active", 128 * MIB)
    assert shown["os_hash_value"] == hashlib.sha512(chunk + chunk).hexdigest()
    api.http.delete(image)


@pytest.mark.parametrize("framing", ["Content-Length: 30000000", "Transfer-Encoding: chunked"])
def test_a_body_that_breaks_off(api: Api, framing: str) -> None:
    """The image is queued again within a second, says why, and takes a new upload; no byte is left."""
    eventually(lambda: not api.files())
    image = api.image()
    connection = api.connect("PUT", f"{image}/file", "Content-Type: application/octet-stream", framing)
    connection.sendall(b"1000000\r\n" + os.urandom(10 * MIB))
    eventually(lambda: api.show(image)["status"] == "saving", 2)
    connection.close()
    eventually(lambda: api.show(image)["status"] == "queued", 1)
    assert "broke off" in str(api.show(image)["os_glance_failed_reason"])
    eventually(lambda: not api.files(), 1)
    assert api.put(image, b"again").status_code == 204
    assert "os_glance_failed_reason" not in api.show(image)
    api.http.delete(image)


def test_a_size_that_is_not_kept(api: Api) -> None:
    """More or fewer bytes than declared: 400, nothing is stored."""
    eventually(lambda: not api.files())
    for size in ("5", "50"):
        image = api.image()
        for data in (b"x" * 10, iter([b"x" * 10])):
            answer = api.put(image, data, **{"x-openstack-image-size": size})
            assert answer.status_code == 400, answer.text
            assert api.show(image)["status"] == "queued"
            assert size in str(api.show(image)["os_glance_failed_reason"])
    assert api.files() == []


def test_a_client_that_stalls(api: Api) -> None:
    """Silence in a body ends it with 408; the image is free again."""
    image = api.image()
    connection = api.connect(
        "PUT", f"{image}/file", "Content-Type: application/octet-stream", "Content-Length: 1000"
    )
    connection.sendall(b"x" * 10)
    eventually(lambda: api.show(image)["status"] == "saving", 2)
    eventually(lambda: api.show(image)["status"] == "queued", 4)
    answer = b"".join(iter(lambda: connection.recv(1000), b""))
    assert answer.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert answer.count(b"HTTP/1.1") == 1
    connection.close()


def test_a_reader_that_stops_reading(api: Api) -> None:
    """It is waited for as long as the settings say; one that reads slowly is served to the end."""
    image = api.image()
    data = os.urandom(40 * MIB)
    assert api.put(image, data).status_code == 204
    before = api.descriptors()
    stopped = [api.connect("GET", f"{image}/file") for _ in range(5)]
    eventually(lambda: api.descriptors() >= before + 10, 2)
    eventually(lambda: api.descriptors() <= before, 6)
    for connection in stopped:
        connection.close()
    slow = api.connect("GET", f"{image}/file")
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 10)
    received = 0
    begun = time.monotonic()
    while received < len(data):
        if time.monotonic() < begun + 3:
            time.sleep(0.2)
        part = slow.recv(4 * MIB)
        assert part, "a slow reader was cut off"
        received += len(part)
    slow.close()
    api.http.delete(image)


def test_a_reader_that_goes_away_frees_everything(api: Api) -> None:
    """File and socket are closed within a second."""
    image = api.image()
    assert api.put(image, os.urandom(40 * MIB)).status_code == 204
    before = api.descriptors()
    readers = [api.connect("GET", f"{image}/file") for _ in range(10)]
    for reader in readers:
        reader.recv(1000)
    assert api.descriptors() > before
    for reader in readers:
        reader.close()
    eventually(lambda: api.descriptors() <= before, 1)
    api.http.delete(image)


@pytest.mark.needs("unshare")
def test_a_full_disk(tmp_path: Path) -> None:
    """413 at once where the size is declared, in the middle where it is not; the reserve stays free."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = f'mount -t tmpfs -o size=64m none "{disk}" && exec "$0" "$@"'
    within = ("unshare", "--map-root-user", "--mount", "sh", "-c", mount)
    settings = {"TYPE": "file", "FOLDER": str(disk), "RESERVE": str(8 * MIB)}
    environment: dict[str, Any] = {f"TINTYPE_STORES_SMALL_{name}": value for name, value in settings.items()}
    with started(tmp_path / "data", within=within, **environment) as server:
        api = Api(server)
        inside = Path(f"/proc/{server.process.pid}/root{disk}")

        def left() -> int:
            return sum(path.stat().st_size for path in inside.glob("*/*") if path.is_file())

        image = api.image()
        for data in (b"x" * 100 * MIB, (b"x" * MIB for _ in range(100))):
            answer = api.put(image, data)
            assert answer.status_code == 413, answer.text
            shown = api.show(image)
            assert (shown["status"], shown["size"]) == ("queued", None)
        assert "full" in str(shown["os_glance_failed_reason"])
        assert left() == 0
        tus = {"Tus-Resumable": "1.0.0", "Upload-Length": str(100 * MIB)}
        assert api.http.post(f"{image}/uploads", headers=tus).status_code == 413
        assert api.put(image, b"x" * 50 * MIB).status_code == 204
        assert api.put(api.image(), b"x" * 10 * MIB).status_code == 413
        assert left() == 50 * MIB
        api.http.close()


def upload_path(url: str) -> str:
    return "/" + url.split("/", 3)[3]


def port_of(url: str) -> str:
    return url.rsplit(":", 1)[1]


def restarted_in_the_middle(tmp_path: Path, send: Callable[[Api, str, Path], threading.Thread]) -> None:
    """Kill the server while a client sends 200 MB in pieces; it goes on by itself on the restarted one."""
    data = os.urandom(200_000_000)
    disk = tmp_path / "disk.raw"
    disk.write_bytes(data)
    with started(tmp_path / "data") as server:
        api = Api(server)
        image = api.image()
        sender = send(api, image, disk)
        partial = server.folder / "images" / "partial"
        eventually(lambda: sum(path.stat().st_size for path in partial.glob("*")) > 30_000_000, 20)
        server.stop(signal.SIGKILL)
    with started(tmp_path / "data", "--port", port_of(server.url)):
        sender.join(60)
        assert not sender.is_alive()
        shown = api.show(image)
        assert (shown["status"], shown["size"]) == ("active", len(data))
        assert shown["os_hash_value"] == hashlib.sha512(data).hexdigest()
        downloaded = hashlib.sha512()
        with api.http.stream("GET", f"{image}/file") as answer:
            for chunk in answer.iter_bytes(MIB):
                downloaded.update(chunk)
        assert downloaded.hexdigest() == shown["os_hash_value"]
        assert len(api.files()) == 1
        api.http.close()


@pytest.mark.needs("time")
def test_tuspy_goes_on_after_a_restart(tmp_path: Path) -> None:
    """The tus project's Python client, in pieces of 5 MB, with its own retries."""

    def send(api: Api, image: str, disk: Path) -> threading.Thread:
        client = TusClient(f"{api.server.url}{image}/uploads", headers=api.headers)

        def run() -> None:
            with disk.open("rb") as file:
                client.uploader(
                    file_stream=file,
                    chunk_size=5_000_000,
                    retries=30,
                    retry_delay=0.5,
                    metadata={"filename": "disk.raw"},
                ).upload()

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return thread

    restarted_in_the_middle(tmp_path, send)


def test_tuspy_with_checksums_in_one_piece(api: Api, tmp_path: Path) -> None:
    """Upload-Checksum of each piece is checked; the whole in one piece works, too."""
    data = os.urandom(12 * MIB)
    disk = tmp_path / "disk.raw"
    disk.write_bytes(data)
    for chunk_size, checksum in ((5 * MIB, True), (len(data), False)):
        image = api.image()
        client = TusClient(f"{api.server.url}{image}/uploads", headers=api.headers)
        with disk.open("rb") as file:
            client.uploader(file_stream=file, chunk_size=chunk_size, upload_checksum=checksum).upload()
        assert api.show(image)["os_hash_value"] == hashlib.sha512(data).hexdigest()
        api.http.delete(image)


async def test_tus_clients_on_aiohttp(api: Api, tmp_path: Path) -> None:
    """The asynchronous part of tuspy, and aiotus: they create uploads with a type, but without a body."""
    data = os.urandom(3 * MIB)
    disk = tmp_path / "disk.raw"
    disk.write_bytes(data)

    async def by_tuspy(url: str) -> None:
        with disk.open("rb") as file:
            client = TusClient(url, headers=api.headers)
            await client.async_uploader(file_stream=file, chunk_size=MIB).upload()

    async def by_aiotus(url: str) -> None:
        with disk.open("rb") as file:
            given = await aiotus.upload(url, file, headers=api.headers, chunksize=MIB // 2)
        assert str(given).startswith(f"{url}/")

    for send in (by_tuspy, by_aiotus):
        image = api.image()
        await send(f"{api.server.url}{image}/uploads")
        assert api.show(image)["os_hash_value"] == hashlib.sha512(data).hexdigest()
        api.http.delete(image)


@pytest.fixture(scope="session")
def js(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install tus-js-client beside its script."""
    folder = tmp_path_factory.mktemp("js")
    for name in ("package.json", "upload.js"):
        shutil.copy(JS / name, folder)
    install = ["npm", "install", "--silent", "--no-audit", "--no-fund"]
    subprocess.run(install, cwd=folder, check=True, timeout=120)
    return folder


@pytest.mark.needs("time")
@pytest.mark.needs("npm")
def test_tus_js_client_goes_on_after_a_restart(tmp_path: Path, js: Path) -> None:
    """The tus project's JavaScript client, which browsers use, with its own retries."""

    def send(api: Api, image: str, disk: Path) -> threading.Thread:
        command = [
            "node",
            "upload.js",
            f"{api.server.url}{image}/uploads",
            api.headers["X-Auth-Token"],
            str(disk),
        ]

        def run() -> None:
            subprocess.run([*command, "5000000"], cwd=js, check=True, capture_output=True, timeout=60)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return thread

    restarted_in_the_middle(tmp_path, send)


@pytest.mark.needs("npm")
def test_tus_js_client_in_one_piece(api: Api, tmp_path: Path, js: Path) -> None:
    """Its default is one request for everything."""
    data = os.urandom(12 * MIB)
    disk = tmp_path / "disk.raw"
    disk.write_bytes(data)
    image = api.image()
    endpoint = f"{api.server.url}{image}/uploads"
    command = ["node", "upload.js", endpoint, api.headers["X-Auth-Token"], str(disk), str(len(data))]
    done = subprocess.run(command, cwd=js, check=True, capture_output=True, text=True, timeout=60)
    assert "done" in done.stdout
    assert api.show(image)["os_hash_value"] == hashlib.sha512(data).hexdigest()
    api.http.delete(image)


def kept_of_a_killed_piece(folder: Path, send: Callable[[socket.socket], object]) -> int:
    """Begin a piece of 10 GiB, kill the server when `send` has returned; give what a new one has of it."""
    with started(folder) as server:
        api = Api(server)
        image = api.image()
        tus = {"Tus-Resumable": "1.0.0", "Upload-Length": str(10 << 30)}
        path = upload_path(api.http.post(f"{image}/uploads", headers=tus).headers["location"])
        connection = api.connect(
            "PATCH",
            path,
            "Content-Type: application/offset+octet-stream",
            "Tus-Resumable: 1.0.0",
            "Upload-Offset: 0",
            f"Content-Length: {10 << 30}",
        )
        send(connection)
        server.stop(signal.SIGKILL)
        connection.close()
    with started(folder, "--port", port_of(server.url)):
        answer = api.http.head(path, headers={"Tus-Resumable": "1.0.0"})
        api.http.close()
    return int(answer.headers["upload-offset"])


@pytest.mark.needs("time")
def test_one_large_piece_survives_a_kill(tmp_path: Path) -> None:
    """Of a piece that is killed in the middle all but the last seconds are kept: it need not begin anew."""
    sent = 0

    def send(connection: socket.socket) -> None:
        nonlocal sent
        block, begun = os.urandom(MIB), time.monotonic()
        while time.monotonic() < begun + 7:
            connection.sendall(block)
            sent += len(block)
            time.sleep(0.02)

    assert 0 < kept_of_a_killed_piece(tmp_path / "data", send) <= sent


@pytest.mark.needs("time")
def test_a_piece_that_falls_silent_survives_a_kill(tmp_path: Path) -> None:
    """What came before is kept within five seconds, though no more comes and no buffer is full."""

    def send(connection: socket.socket) -> None:
        connection.sendall(os.urandom(9 * MIB + 5))
        time.sleep(5.5)

    assert kept_of_a_killed_piece(tmp_path / "data", send) == 9 * MIB + 5


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Give a folder that other users may enter; pytest's own are closed."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@pytest.mark.needs("nginx")
@pytest.mark.needs("openssl")
def test_a_front_server_sends_the_bytes(tmp_path: Path, open_folder: Path) -> None:
    """With accel_redirect nginx sends them, ranges too; nobody gets at them without the service's word."""
    data = os.urandom(3 * MIB)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = {"TYPE": "file", "FOLDER": str(open_folder / "images"), "ACCEL_REDIRECT": "/stored"}
    environment: dict[str, Any] = {f"TINTYPE_STORES_LOCAL_{name}": value for name, value in settings.items()}
    environment["TINTYPE_SERVER_TRUSTED_PROXIES"] = "127.0.0.1"
    with started(tmp_path / "data", **environment) as server:
        api = Api(server)
        image = api.image()
        assert api.put(image, data).status_code == 204
        (open_folder / "images").chmod(0o710)
        straight = httpx2.get(f"{server.url}{image}/file", headers=api.headers)
        assert (straight.status_code, straight.content) == (200, data)
        with front_server(open_folder, port, server):
            url = f"https://127.0.0.1:{port}{image}/file"
            fetch = functools.partial(httpx2.get, verify=False)
            whole = fetch(url, headers=api.headers)
            assert (whole.status_code, whole.content) == (200, data)
            digest = str(api.show(image)["os_hash_value"])
            assert whole.headers["etag"] == f'"{digest}"'
            assert whole.headers["content-md5"] == api.show(image)["checksum"]
            assert whole.headers["x-openstack-request-id"].startswith("req-")
            part = fetch(url, headers={**api.headers, "Range": "bytes=1000-1999"})
            assert (part.status_code, part.content) == (206, data[1000:2000])
            known = fetch(url, headers={**api.headers, "If-None-Match": f'"{digest}"'})
            assert known.status_code == 304
            assert fetch(url).status_code == 401
            links = fetch(f"https://127.0.0.1:{port}/versions").json()["versions"][0]["links"]
            assert links[0]["href"] == f"https://127.0.0.1:{port}/v2/"
            (key,) = [path.name for path in (open_folder / "images").glob("*/*") if path.is_file()]
            stored = f"https://127.0.0.1:{port}/stored/{key[:2]}/{key}"
            assert fetch(stored).status_code == 404
        api.http.close()


@contextlib.contextmanager
def front_server(folder: Path, port: int, server: Server) -> Iterator[None]:
    """Run nginx as docs/howto/put-nginx-in-front.md says."""
    page = (Path(__file__).parents[2] / "docs" / "howto" / "put-nginx-in-front.md").read_text()
    site = page.split("```nginx\n")[1].split("```")[0]
    certificate, key = make_certificate(folder)
    for named, actual in {
        "listen 80;": f"listen 127.0.0.1:{free_ports(1)[0]};",
        "listen 443 ssl;": f"listen 127.0.0.1:{port} ssl;",
        "/etc/ssl/images.example.org.pem": str(certificate),
        "/etc/ssl/images.example.org.key": str(key),
        "http://127.0.0.1:9292": server.url,
        "/var/lib/tintype/images/": f"{folder}/images/",
    }.items():
        assert named in site, named
        site = site.replace(named, actual)
    conf = folder / "nginx.conf"
    user = "user nobody root;" if os.geteuid() == 0 else ""  # its workers are another user, in the group
    conf.write_text(
        f"{user} daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx.log;\n"
        f"events {{}}\nhttp {{ access_log off; client_body_temp_path {folder}/body;\n"
        f"proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u;\n"
        f"scgi_temp_path {folder}/s;\n{site} }}\n"
    )
    process = subprocess.Popen(["nginx", "-p", str(folder), "-e", str(folder / "nginx.log"), "-c", str(conf)])
    try:
        eventually(lambda: answers(port))
        yield
    finally:
        process.terminate()
        process.wait(10)
