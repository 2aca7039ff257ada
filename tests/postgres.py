"""A temporary PostgreSQL from this machine's binaries."""

import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import psutil

BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))


def available() -> bool:
    """Return whether PostgreSQL is installed."""
    return bool(BINARIES) or shutil.which("initdb") is not None


class Cluster:
    """A PostgreSQL server. It does not wait for the disk unless `durable` is set, for tests that kill it."""

    def __init__(self, *, durable: bool = False) -> None:
        self._bin = BINARIES[-1] if BINARIES else Path(shutil.which("initdb") or "").parent
        self._folder = Path(tempfile.mkdtemp(prefix="tintype-pg-"))
        self._options = [] if durable else ["-c", "fsync=off", "-c", "full_page_writes=off"]
        self._number = itertools.count()
        self._user: str | None = None
        if os.getuid() == 0:  # PostgreSQL refuses to run as root
            shutil.chown(self._folder, "postgres", "postgres")
            self._user = "postgres"
        self._run("initdb", "-D", self._data, "-U", "tintype", "-A", "trust", "-E", "UTF8", "--no-sync")
        self.process = self.start()

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    def url(self, database: str) -> str:
        """Return the URL of a database through a socket in the cluster's folder."""
        return f"postgresql://tintype@/{database}?host={self._folder}"

    def start(self) -> "subprocess.Popen[bytes]":
        """Start the server, and wait until it responds. It can be started again."""
        self.process = subprocess.Popen(
            [self._bin / "postgres", "-D", self._data, "-k", self._folder, "-h", "", *self._options],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            user=self._user,
        )
        deadline = time.monotonic() + 30
        ready: list[str | Path] = [self._bin / "pg_isready", "-q", "-h", self._folder]
        while subprocess.run(ready, check=False).returncode != 0:
            assert time.monotonic() < deadline, "PostgreSQL does not start"
            time.sleep(0.05)
        return self.process

    def create(self, template: str = "template1") -> str:
        """Create a database as a copy of another one; return its name."""
        name = f"test{next(self._number)}"
        self.sql(f'CREATE DATABASE {name} TEMPLATE "{template}" STRATEGY file_copy')
        return name

    def drop(self, name: str) -> None:
        """Delete a database, whoever is connected."""
        self.sql(f"DROP DATABASE {name} WITH (FORCE)")

    def sql(self, statement: str, database: str = "postgres") -> str:
        """Run a statement; return its output."""
        connect: list[str | Path] = ["-h", self._folder, "-U", "tintype", "-d", database]
        return self._run("psql", "-qAt", *connect, "-c", statement)

    def kill(self) -> None:
        """Kill every process of the server, as a power cut would."""
        self.signal(signal.SIGKILL)
        self.process.wait(10)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to every process of the server: STOP makes it silent, CONT resumes it."""
        family = [self.process.pid, *(child.pid for child in psutil.Process(self.process.pid).children())]
        for pid in family:
            os.kill(pid, number)

    def close(self) -> None:
        """Stop the server and delete its files."""
        self.process.send_signal(signal.SIGINT)  # fast shutdown
        self.process.wait(30)
        shutil.rmtree(self._folder)

    def _run(self, program: str, *arguments: str | Path) -> str:
        command: list[str | Path] = [self._bin / program, *arguments]
        done = subprocess.run(
            [str(part) for part in command],
            capture_output=True,
            text=True,
            cwd="/",
            check=False,
            user=self._user,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()
