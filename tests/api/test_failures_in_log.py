"""The log has the cause of a failed request; the client learns what failed, without internals."""

import asyncio
import json
import shutil
import sqlite3
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Any, NoReturn

import pytest
import structlog

from inprocess import Prepared, Service, running
from tintype.errors import Unavailable
from tintype.observability.failures import FailureLog, cause_of

BINARY = {"Content-Type": "application/octet-stream"}
RAW = {"disk_format": "raw", "container_format": "bare"}


def explained(text: str) -> list[dict[str, Any]]:
    """Return the lines of a log that say why something failed."""
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    return [line for line in lines if line["level"] == "error"]


def block_folder(folder: Path) -> None:
    """Put a file where bytes are begun, which stops root, too."""
    shutil.rmtree(folder / "images" / "partial", ignore_errors=True)
    (folder / "images" / "partial").write_text("in the way")


def unmount_folder(folder: Path) -> None:
    """Take the store's folder away."""
    (folder / "images").rename(folder / "elsewhere")


def break_database(folder: Path) -> None:
    """Take tables away, which SQLite tells as it tells of a disk that fails."""
    with sqlite3.connect(folder / "tintype.db") as database:
        for name in ("images", "users", "projects"):
            database.execute(f"ALTER TABLE {name} RENAME TO lost_{name}")
    database.close()


@pytest.mark.parametrize("prepared", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("harm", "request_line", "told", "cause"),
    [
        (
            block_folder,
            "PUT /v2/images/{id}/file",
            "The store 'local' cannot use its folder: File exists.",
            "images/partial",
        ),
        (
            unmount_folder,
            "PUT /v2/images/{id}/file",
            "The folder of the store 'local' is missing or not mounted.",
            "is it mounted?",
        ),
        (break_database, "GET /v2/images", "The database does not answer.", "no such table"),
        (break_database, "POST /identity/v3/auth/tokens", "The database does not answer.", "no such table"),
        (break_database, "GET /api/glance/images/", "The database does not answer.", "no such table"),
    ],
)
async def test_every_503_has_its_cause_in_the_log(
    prepared: Prepared,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    harm: Callable[[Path], None],
    request_line: str,
    told: str,
    cause: str,
) -> None:
    """Whichever part fails and whichever interface is asked: error level, the cause and the request's id."""
    async with running(prepared, tmp_path) as service:
        image = (await service.call("alice", "POST", "/v2/images", json=RAW)).json()["id"]
        capsys.readouterr()
        harm(service.folder)
        method, path = request_line.format(id=image).split(" ")
        answer = await ask(service, method, path)
        assert answer.status_code == 503, answer.text
        assert told in answer.text
        assert str(tmp_path) not in answer.text
        assert cause not in answer.text
        (line,) = [each for each in explained(capsys.readouterr().err) if each["event"] == "request failed"]
        assert cause in line["cause"]
        assert line["reason"] == told
        assert (line["method"], line["path"], line["status"]) == (method, path, 503)
        assert line["request_id"] == answer.headers["x-openstack-request-id"]


async def ask(service: Service, method: str, path: str) -> Any:
    """Send a request as each interface wants it."""
    if path.startswith("/identity"):
        user = {"name": "alice", "domain": {"id": "default"}, "password": "secret"}
        body = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}}}
        return await service.call(None, method, path, json=body)
    if path.startswith("/api"):
        cookie = {
            "Cookie": f"tintype_session={service.tokens['alice']}",
            "X-Requested-With": "XMLHttpRequest",
        }
        return await service.call(None, method, path, headers=cookie)
    if method == "PUT":
        return await service.call("alice", method, path, content=b"x", headers=BINARY)
    return await service.call("alice", method, path)


@pytest.mark.parametrize("prepared", ["sqlite"], indirect=True)
async def test_a_cause_does_not_flood_the_log(
    prepared: Prepared, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """However many requests fail of one cause, of different images: one line; requests have theirs."""
    async with running(prepared, tmp_path) as service:
        images = [
            (await service.call("alice", "POST", "/v2/images", json=RAW)).json()["id"] for _ in range(12)
        ]
        unmount_folder(service.folder)
        capsys.readouterr()
        for image in images:
            path = f"/v2/images/{image}/file"
            put = await service.call("alice", "PUT", path, content=b"x", headers=BINARY)
            assert put.status_code == 503
        said = capsys.readouterr().err
        assert len(explained(said)) == 1
        assert said.count('"event":"request"') + said.count('"event": "request"') == len(images)


async def test_what_is_repeated_is_counted() -> None:
    """A cause that goes on has a line for each stretch of time, with how often it occurred in it."""
    written: list[dict[str, Any]] = []
    summed_up = asyncio.Event()

    def record(_logger: object, _method: str, event: MutableMapping[str, Any]) -> NoReturn:
        written.append(dict(event))
        if "repeated" in event:
            summed_up.set()
        raise structlog.DropEvent

    failures = FailureLog(structlog.wrap_logger(None, processors=[record]), quiet_seconds=0.05)
    for _ in range(5):
        failures.record("request failed", Unavailable("The store 'a' does not answer."), status=503)
    failures.record("request failed", Unavailable("The store 'b' does not answer."), status=503)
    assert [line["reason"] for line in written] == [
        "The store 'a' does not answer.",
        "The store 'b' does not answer.",
    ]
    async with asyncio.timeout(5):
        await summed_up.wait()
    assert (written[2]["repeated"], written[2]["reason"]) == (4, "The store 'a' does not answer.")


def test_causes_have_no_credentials() -> None:
    """Passwords in addresses and signatures in their queries stay out of the log."""
    failure = Unavailable("The store does not answer.")
    failure.__cause__ = OSError("https://user:secret@host/bucket/key?sv=1&sig=c2VjcmV0 does not answer")
    assert cause_of(failure) == "OSError: https://…@host/bucket/key?… does not answer"
