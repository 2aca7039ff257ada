"""Headers of every answer, what refusals disclose, and folders that are gone."""

import asyncio
import json
import shutil
import subprocess
import time
from pathlib import Path

import httpx2
import pytest
from test_imports import BARE, BINARY, new_image
from test_silence import listening

import web
from inprocess import Prepared, Service, make_settings, running
from processes import BIN, started
from tintype.folders import recognise_folders
from tintype.wiring import service as wiring

NO_SNIFFING = "x-content-type-options"
ONLY_TLS = "strict-transport-security"
PATHS = (
    "/",
    "/v2",
    "/v2/images",
    "/v2/images/nothing",
    "/nowhere",
    "/healthcheck",
    "/identity/v3",
    "/dashboard/",
)


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("who", [None, "alice"])
async def test_every_answer_has_the_headers(service: Service, who: str | None, scheme: str) -> None:
    """Browsers take no answer for another type than it says; once they came by TLS, they come by it alone."""
    transport = httpx2.ASGITransport(app=service.parts.app, raise_app_exceptions=False)
    headers = {} if who is None else {"X-Auth-Token": service.tokens[who]}
    async with httpx2.AsyncClient(transport=transport, base_url=f"{scheme}://testserver") as client:
        for path in PATHS:
            for method in ("GET", "OPTIONS", "DELETE"):
                answer = await client.request(method, path, headers=headers)
                assert answer.headers.get_list(NO_SNIFFING) == ["nosniff"], (method, path)
                wanted = ["max-age=31536000"] if scheme == "https" else []
                assert answer.headers.get_list(ONLY_TLS) == wanted, (method, path)


async def test_downloads_have_them_too(service: Service) -> None:
    """Bytes that somebody has uploaded are never shown as a page."""
    image = await new_image(service)
    await service.call("alice", "PUT", f"{image}/file", content=b"<script>alert(1)</script>", headers=BINARY)
    answer = await service.call("alice", "GET", f"{image}/file")
    assert answer.headers.get_list(NO_SNIFFING) == ["nosniff"]
    assert answer.headers["content-type"] == "application/octet-stream"


async def test_what_is_no_http_is_answered_with_them(service: Service) -> None:
    """So is what never reaches the application."""
    async with listening(service, 5) as line:
        reader, writer = await line.send("GET / nonsense", who=None)
        said = await reader.read()
        writer.close()
    assert b"400 Bad Request" in said
    assert b"x-content-type-options: nosniff" in said


async def test_refusals_do_not_tell_which_names_there_are_inside(
    prepared: Prepared, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One text and one time for names without an address and for those with one inside."""
    told, took = {}, {}
    names = web.names({"inside.example": [["10.0.0.1"]], "absent.example": [[]]})
    async with running(prepared, tmp_path) as service:
        with names:
            for name in ("inside", "absent"):
                image = await new_image(service, **BARE)
                method = {"name": "web-download", "uri": f"http://{name}.example/disk"}
                started_at = time.monotonic()
                answer = await service.call("alice", "POST", f"{image}/import", json={"method": method})
                took[name] = time.monotonic() - started_at
                assert answer.status_code == 400
                told[name] = answer.json()["error"]["message"].replace(name, "NAME")
    assert told["inside"] == told["absent"]
    assert min(took.values()) >= 1
    logged = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    causes = [line["cause"] for line in logged if line["event"] == "request refused"]
    assert causes == ["inside.example has the address 10.0.0.1", "absent.example has no address"]


@pytest.mark.parametrize("prepared", ["sqlite"], indirect=True)
@pytest.mark.parametrize("command", [("gc",), ("gc", "--dry-run"), ("scrub",)])
async def test_upkeep_makes_no_folder(prepared: Prepared, tmp_path: Path, command: tuple[str, ...]) -> None:
    """A store's folder that is gone is an error that says what to do; the disk may not be mounted."""
    async with running(prepared, tmp_path) as service:
        folder = service.folder
    shutil.rmtree(folder / "images")
    run = [str(BIN / "tintype"), *command, "--data-dir", str(folder)]
    done = await asyncio.to_thread(subprocess.run, run, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout
    assert "is it mounted?" in done.stderr
    assert "tintype store claim local" in done.stderr
    assert not (folder / "images").exists()


READ_ONLY = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0"'
NO_ROOM = (
    'mark=$(cat "$0/.tintype-store") && mount -t tmpfs -o nr_inodes=3 none "$0" && mkdir "$0/partial" '
    '&& echo "$mark" > "$0/.tintype-store"'
)


@pytest.mark.needs("unshare")
@pytest.mark.parametrize("prepared", ["sqlite"], indirect=True)
@pytest.mark.parametrize(("mount", "reason"), [(READ_ONLY, "cannot"), (NO_ROOM, "storage media is full")])
def test_a_folder_that_takes_no_file_is_not_ok(
    prepared: Prepared, tmp_path: Path, mount: str, reason: str
) -> None:
    """It may be mounted read-only, or have no room: uploads fail, so health says it, whatever its mode."""
    folder = tmp_path / "data"
    shutil.copytree(prepared.folder, folder)

    async def claim() -> None:
        service = wiring.Service(make_settings(folder))
        await recognise_folders(service.database, service.settings)
        await service.close()

    asyncio.run(claim())
    within = ("unshare", "--map-root-user", "--mount", "sh", "-c", f'{mount} && exec "$@"')
    with started(folder, within=(*within, str(folder / "images"))) as server:
        headers = {"X-Auth-Token": prepared.tokens["admin"]}
        detail = httpx2.get(f"{server.url}/healthcheck/detail", headers=headers, timeout=30)
    part = detail.json()["parts"]["store local"]
    assert (detail.status_code, part["ok"]) == (503, False)
    assert reason in part["reason"]
