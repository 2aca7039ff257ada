"""A temporary MariaDB from this machine's binaries. Many Glances use one."""

import getpass
import shutil
import subprocess
import time
from pathlib import Path


def available() -> bool:
    """Return whether MariaDB is installed."""
    return all(shutil.which(name, path="/usr/sbin:/usr/bin") for name in ("mariadbd", "mariadb-install-db"))


class MariaDb:
    """A server on a separate socket."""

    def __init__(self, folder: Path) -> None:
        self._data, self._socket = folder / "data", folder / "socket"
        self._user = getpass.getuser()
        subprocess.run(
            [
                "mariadb-install-db",
                "--no-defaults",
                f"--user={self._user}",
                f"--datadir={self._data}",
                "--auth-root-authentication-method=normal",
            ],
            check=True,
            capture_output=True,
        )
        self.process = subprocess.Popen(
            [
                "/usr/sbin/mariadbd",
                "--no-defaults",
                f"--user={self._user}",
                f"--datadir={self._data}",
                f"--socket={self._socket}",
                f"--pid-file={folder / 'pid'}",
                "--skip-networking",
                "--innodb-flush-log-at-trx-commit=0",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 60
        while self._sql("SELECT 1").returncode != 0:
            assert time.monotonic() < deadline, "MariaDB does not start"
            time.sleep(0.2)

    def create(self, name: str) -> str:
        """Create a database; return its URL."""
        assert self._sql(f"CREATE DATABASE {name} CHARACTER SET utf8mb4").returncode == 0
        return f"mysql+pymysql://root@localhost/{name}?unix_socket={self._socket}&charset=utf8mb4"

    def close(self) -> None:
        """Stop the server."""
        self.process.terminate()
        self.process.wait(60)

    def _sql(self, statement: str) -> "subprocess.CompletedProcess[bytes]":
        command: list[str | Path] = ["mariadb", "--no-defaults", "-u", "root", "-S", self._socket]
        return subprocess.run([*command, "-e", statement], capture_output=True, check=False)
