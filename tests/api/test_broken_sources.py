"""A source that was away for a while, and is there again."""

import hashlib
import time
from pathlib import Path

import pytest
from test_imports import begin, ended, loopback, new_image, show, working

import web
from inprocess import Prepared, running
from tintype.blobs import pace

DATA = bytes(range(256)) * 4096
AWAY = 1.5
"""Seconds, in which a source is too slow in this test if they are held against it."""


async def test_a_source_that_was_away_is_not_too_slow(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither before its first byte, nor between two connections: the download goes on."""
    for name in ("_FLOOR_SECONDS", "_WINDOW_SECONDS"):
        monkeypatch.setattr(pace, name, AWAY / 2, raising=False)

    def source(request: web.Request) -> None:
        time.sleep(AWAY)
        request.ranged(DATA, None if request.headers.get("Range") else len(DATA) // 2)

    with web.serving(source) as server:
        imports = loopback(server, min_source_rate=8 << 20)
        async with running(prepared, tmp_path, imports=imports) as service, working(service):
            image = await new_image(service)
            assert (
                await begin(service, image, {"name": "web-download", "uri": server.url})
            ).status_code == 202
            task = await ended(service, image, 60)
            assert (task["status"], task["message"]) == ("success", "Copied 1.0 MiB to local.")
            shown = await show(service, image)
            assert shown["os_hash_value"] == hashlib.sha512(DATA).hexdigest()
            assert len(server.seen) == 2
