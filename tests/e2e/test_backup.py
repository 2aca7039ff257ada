"""A backup that is made while images are stored is restored: no image lacks its bytes."""

import hashlib
import os
import subprocess
import threading
from pathlib import Path
from typing import Self

import pytest

from pages import DOCS, blocks
from postgres import Cluster
from processes import BIN, Api, eventually, started

PAGE = DOCS / "howto/back-up-and-restore.md"


def run_block(way: str, folder: Path) -> str:
    """Run the page's commands of one kind in a folder."""
    commands = "\n".join(block.text for block in blocks(PAGE) if (block.kind, block.way) == ("run", way))
    return run("bash", "-c", f"set -e\n{commands}", folder=folder)


def run(*command: str, folder: Path, **environment: str) -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


class Load:
    """Stores images of different sizes, one after the other, until it is stopped."""

    def __init__(self, api: Api) -> None:
        self.stored: dict[str, str] = {}
        """Digest of each image that the service has answered for."""
        self._api = api
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._store)

    def __enter__(self) -> Self:
        self._thread.start()
        eventually(lambda: len(self.stored) >= 3, 60)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(60)

    def wait_for_more(self) -> None:
        """Wait until another image has been stored."""
        known = len(self.stored)
        eventually(lambda: len(self.stored) > known, 60)

    def _store(self) -> None:
        number = 0
        while not self._stop.is_set():
            number += 1
            data = os.urandom(1000 + number % 5 * 700_000)
            image = self._api.image()
            assert self._api.put(image, data).status_code == 204
            self.stored[image] = hashlib.sha512(data).hexdigest()


def check(api: Api, stored: dict[str, str], before: set[str]) -> None:
    """Hold the restored images against what was stored; all from before the backup are there."""
    found = {image: api.show(image) for image in stored if api.http.get(image).status_code == 200}
    assert before <= found.keys()
    active = {image for image, shown in found.items() if shown["status"] == "active"}
    assert before <= active
    for image in active:
        content = api.http.get(f"{image}/file").content
        assert hashlib.sha512(content).hexdigest() == stored[image]


@pytest.mark.needs("time")
def test_sqlite_by_the_page(tmp_path: Path) -> None:
    """The page's own commands, beside uploads; the restored service has every image from before."""
    with started(tmp_path / "data") as server:
        api = Api(server)
        with Load(api) as load:
            before = set(load.stored)
            run_block("backup", tmp_path)
            load.wait_for_more()
        api.http.close()
    printed = run_block("restore", tmp_path)
    assert "failed" not in printed
    with started(tmp_path / "restored") as server:
        restored = Api(server)
        check(restored, load.stored, before)
        assert restored.put(restored.image(), b"new").status_code == 204
        restored.http.close()
        run("tintype", "gc", "--data-dir", "restored", folder=tmp_path)
        run("tintype", "scrub", "--data-dir", "restored", folder=tmp_path)


@pytest.mark.needs("postgresql")
def test_postgresql(tmp_path: Path, cluster: Cluster) -> None:
    """The same order with pg_dump, which sees one moment: first the database, then the bytes."""
    source, target = cluster.create(), cluster.create()
    with started(tmp_path / "data", TINTYPE_DATABASE_URL=cluster.url(source)) as server:
        api = Api(server)
        with Load(api) as load:
            before = set(load.stored)
            dump = ["pg_dump", "--format", "custom", "--file", "tintype.dump", cluster.url(source)]
            run(*dump, folder=tmp_path)
            run("cp", "--archive", "data", "restored", folder=tmp_path)
            load.wait_for_more()
        api.http.close()
    run("pg_restore", "--no-owner", "--dbname", cluster.url(target), "tintype.dump", folder=tmp_path)
    with started(tmp_path / "restored", TINTYPE_DATABASE_URL=cluster.url(target)) as server:
        restored = Api(server)
        check(restored, load.stored, before)
        restored.http.close()
