"""The README's lines are true."""

import re
import subprocess
from pathlib import Path

import pytest

from disks import QCOW2
from processes import Server

ROOT = Path(__file__).parents[2]


def blocks(heading: str) -> list[str]:
    """Give the shell lines under a heading."""
    section = (ROOT / "README.md").read_text().split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    lines = "\n".join(re.findall(r"```sh\n(.*?)```", section, re.DOTALL)).splitlines()
    return [line.partition("  #")[0].strip() for line in lines if line.strip()]


def test_the_lines_of_use(server: Server, tmp_path: Path) -> None:
    """Each line under "Use" does what it says, one after the other."""
    lines = blocks("Use")
    assert lines[0] == "export OS_CLIENT_CONFIG_FILE=$PWD/data/clouds.yaml OS_CLOUD=tintype"
    assert len(lines) == 5
    disk = "qcow2 disk image made by hand"
    (tmp_path / "data").symlink_to(server.folder)
    (tmp_path / "disk.qcow2").write_bytes(QCOW2.ljust(200_000, b"\0"))
    script = f"set -e; cd {tmp_path}\n" + "\n".join(lines)
    server.run("bash", "-c", script)
    assert (tmp_path / "again.qcow2").read_bytes() == (tmp_path / "disk.qcow2").read_bytes(), disk
    assert (tmp_path / "copy.qcow2").read_bytes() == (tmp_path / "disk.qcow2").read_bytes(), disk


@pytest.mark.parametrize("line", blocks("Start"))
def test_the_two_commands_exist(line: str) -> None:
    """`make serve` and `make test` are targets, and `make help` names them."""
    assert line.startswith("make ")
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert line in re.sub(r" +", " ", shown)


@pytest.mark.needs("time")
def test_make_serve_starts(tmp_path: Path) -> None:
    """The first command of a newcomer ends in a service that says where it is."""
    command = ["make", "--no-print-directory", "serve", f"DATA_DIR={tmp_path / 'data'}", "ARGS=--port 0"]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("Tintype serves images at http://127.0.0.1:"):
            break
    else:
        pytest.fail("no service")
    while "image list" not in line:
        line = process.stdout.readline()
    process.terminate()
    process.stdout.close()
    process.wait(30)
    assert (tmp_path / "data" / "clouds.yaml").exists()
