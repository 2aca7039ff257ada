"""A real Ceph of one node, for tests: monitor, manager, one OSD on a file, S3 gateway, an RBD pool.

From Debian's packages ceph-mon, ceph-mgr, ceph-osd, radosgw, ceph-common, python3-rbd, python3-rados. It
lives in one folder and on free ports of loopback, and ends with the tests.
"""

import contextlib
import dataclasses
import os
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from processes import free_ports

KEY, SECRET = "images", "images-secret"
BUCKET, POOL = "images", "images"
_SECONDS = 90


@dataclasses.dataclass
class Ceph:
    """A running cluster."""

    folder: Path
    endpoint: str

    @property
    def conf(self) -> Path:
        return self.folder / "ceph.conf"

    def run(self, *command: str | Path) -> str:
        """Run one of Ceph's commands."""
        program, *arguments = command
        done = subprocess.run(
            [program, "-c", self.conf, *arguments],
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def signal(self, daemon: str, number: signal.Signals) -> None:
        """Send a signal to a daemon: STOP makes it silent, CONT resumes it."""
        for path in (self.folder / "run").glob(f"*{daemon}*.pid"):
            os.kill(int(path.read_text()), number)


@contextlib.contextmanager
def started(folder: Path) -> Iterator[Ceph]:
    """Start a cluster; stop it afterwards."""
    for name in ("mon", "mgr", "osd", "rgw", "run", "log"):
        (folder / name).mkdir(parents=True)
    v2, v1, gateway = free_ports(3)
    ceph = Ceph(folder, f"http://127.0.0.1:{gateway}")
    ceph.conf.write_text(_conf(folder, v2, v1, gateway))
    try:
        _start(ceph, v2, v1)
        yield ceph
    finally:
        for path in (folder / "run").glob("*.pid"):
            with contextlib.suppress(ProcessLookupError, ValueError):
                process = int(path.read_text())
                os.kill(process, signal.SIGCONT)
                os.kill(process, signal.SIGKILL)


def _conf(folder: Path, v2: int, v1: int, gateway: int) -> str:
    settings = {
        "fsid": uuid.uuid4(),
        "mon_initial_members": "a",
        "mon_host": f"v2:127.0.0.1:{v2},v1:127.0.0.1:{v1}",
        "public_network": "127.0.0.0/8",
        "keyring": folder / "keyring",
        "run_dir": folder / "run",
        "admin_socket": folder / "run" / "$name.$pid.asok",
        "pid_file": folder / "run" / "$name.pid",
        "log_file": folder / "log" / "$name.log",
        "mon_data": folder / "mon",
        "mgr_data": folder / "mgr",
        "osd_data": folder / "osd",
        "mon_data_avail_warn": 2,
        "mon_data_avail_crit": 1,
        "mon_allow_pool_size_one": "true",
        "mon_warn_on_pool_no_redundancy": "false",
        "auth_allow_insecure_global_id_reclaim": "false",
        "osd_objectstore": "bluestore",
        "bluestore_block_create": "true",
        "bluestore_block_size": 8 << 30,
        "osd_memory_target": 939524096,
        "osd_crush_chooseleaf_type": 0,
        "osd_pool_default_size": 1,
        "osd_pool_default_min_size": 1,
        "osd_pool_default_pg_num": 8,
        "osd_pool_default_pg_autoscale_mode": "off",
        "osd_pool_default_read_lease_ratio": 50,  # a lone OSD stopped past its lease may stay laggy for ever
    }
    lines = [f"{name} = {value}" for name, value in settings.items()]
    rgw = [
        "[client.rgw]",
        f"rgw_frontends = beast endpoint=127.0.0.1:{gateway}",
        f"rgw_data = {folder / 'rgw'}",
    ]
    return "\n".join(["[global]", *lines, *rgw]) + "\n"


def _start(ceph: Ceph, v2: int, v1: int) -> None:
    folder, keyring = ceph.folder, ceph.folder / "keyring"
    caps = [part for daemon in ("mon", "osd", "mgr") for part in ("--cap", daemon, "allow *")]
    _call("ceph-authtool", "--create-keyring", keyring, "--gen-key", "-n", "mon.", "--cap", "mon", "allow *")
    _call("ceph-authtool", keyring, "--gen-key", "-n", "client.admin", *caps)
    fsid = ceph.conf.read_text().split("fsid = ")[1].split("\n")[0]
    address = f"[v2:127.0.0.1:{v2},v1:127.0.0.1:{v1}]"
    _call("monmaptool", "--create", "--addv", "a", address, "--fsid", fsid, folder / "monmap")
    ceph.run("ceph-mon", "--mkfs", "-i", "a", "--monmap", folder / "monmap", "--keyring", keyring)
    ceph.run("ceph-mon", "-i", "a", "--public-addr", "127.0.0.1")
    _grant(ceph, "mgr.a", mon="allow profile mgr", osd="allow *", mds="allow *")
    ceph.run("ceph-mgr", "-i", "a")
    osd = str(uuid.uuid4())
    ceph.run("ceph", "osd", "new", osd)
    _grant(ceph, "osd.0", mon="allow profile osd", mgr="allow profile osd", osd="allow *")
    ceph.run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd)
    ceph.run("ceph-osd", "-i", "0")
    _wait_until(lambda: "1 up" in ceph.run("ceph", "osd", "stat"))
    ceph.run("ceph", "osd", "pool", "create", POOL, "8")
    ceph.run("rbd", "pool", "init", POOL)
    _grant(ceph, "client.rgw", mon="allow rw", osd="allow rwx", mgr="allow rw")
    ceph.run("radosgw", "-n", "client.rgw")
    user = ("--uid=images", "--display-name=images", f"--access-key={KEY}", f"--secret-key={SECRET}")
    _wait_until(lambda: _answers(ceph.endpoint))
    ceph.run("radosgw-admin", "user", "create", *user)


def _grant(ceph: Ceph, name: str, **caps: str) -> None:
    flat = [part for pair in caps.items() for part in pair]
    with (ceph.folder / "keyring").open("a") as keyring:
        keyring.write(ceph.run("ceph", "auth", "get-or-create", name, *flat))


def _call(*command: str | Path) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=_SECONDS)


def _wait_until(condition: object) -> None:
    deadline = time.monotonic() + _SECONDS
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "Ceph does not start"
        time.sleep(0.3)


def _answers(endpoint: str) -> bool:
    host, port = endpoint.removeprefix("http://").split(":")
    with contextlib.suppress(OSError), socket.create_connection((host, int(port)), 1):
        return True
    return False
