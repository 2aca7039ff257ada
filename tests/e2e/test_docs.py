"""Run the commands of the docs: each page in one shell, in a separate folder.

A block of commands is run if an HTML comment, which readers do not see, stands before it:

- `<!-- run -->`: in the page's shell, beside a service whose data folder is `data`;
- `<!-- run: serve -->`: the block starts the service itself, in the background;
- `<!-- run: stopped -->`: with the service stopped; first on a page, it ran once before;
- `<!-- run: python -->`: a Python program;
- blocks with other words are run by tests that name them.

`<!-- output -->` before a block compares: its lines are in the output, in this order, with anything at `…`.
"""

import contextlib
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pages import DOCS, blocks
from processes import BIN, MEASURED, free_ports, started

PROGRAMS = ("curl", "openssl", "qemu-img")
WAYS = {"", "serve", "stopped", "python"}


def pages() -> Iterator[object]:
    """Return the pages with commands, and the programs that they need."""
    for page in sorted(DOCS.rglob("*.md")):
        if run := [block.text for block in blocks(page) if block.kind == "run" and block.way in WAYS]:
            programs = {program for program in PROGRAMS if any(program in text for text in run)}
            marks = [pytest.mark.needs(program) for program in sorted(programs)]
            yield pytest.param(page, id=str(page.relative_to(DOCS)), marks=marks)


def script(page: Path, port: int) -> str:
    """Return the page's commands as one script, which says where each block's output begins."""
    lines = ["set -e"]
    serving = False
    for number, block in enumerate(blocks(page)):
        if block.kind == "output" or block.way not in WAYS:
            continue
        lines.append(f"echo '-- block {number}'")
        text = block.text.replace("9292", str(port))
        if block.way == "stopped" and serving:
            text = f"kill $! && wait\ntrap - EXIT\n{text}"
        serving = block.way == "serve" or (serving and block.way != "stopped")
        if block.way == "python":
            text = f"python3 - <<'END-OF-PROGRAM'\n{text}END-OF-PROGRAM\n"
        if block.way == "serve":
            text = (
                f"{text.strip()} > serve.log 2>&1 &\n"
                'trap "kill $! && wait" EXIT\n'
                f"until (: < /dev/tcp/127.0.0.1/{port}) 2> /dev/null; do kill -0 $!; sleep 0.1; done\n"
                "cat serve.log\n"
            )
        lines.append(text)
    return "\n".join(lines)


def check(page: Path, printed: str, port: int) -> None:
    """Hold what each block printed against the lines that the page shows."""
    parts = re.split(r"^-- block (\d+)\n", printed, flags=re.MULTILINE)
    outputs = dict(zip(map(int, parts[1::2]), parts[2::2], strict=True))
    last = 0
    for number, block in enumerate(blocks(page)):
        if block.kind == "run":
            last = number
            continue
        shown = iter([" ".join(line.split()) for line in outputs[last].splitlines()])
        for line in block.text.replace("9292", str(port)).splitlines():
            pattern = ".*".join(re.escape(" ".join(part.split())) for part in line.split("…"))
            assert any(re.search(pattern, each) for each in shown), f"{line!r} is not in:\n{outputs[last]}"


@pytest.mark.needs("time")
@pytest.mark.parametrize("page", pages())
def test_commands_of_a_page(page: Path, tmp_path: Path) -> None:
    """Every marked command succeeds, and prints what the page shows."""
    first = next(block.way for block in blocks(page) if block.kind == "run")
    with contextlib.ExitStack() as running:
        [port] = free_ports(1)
        if first != "serve":
            server = running.enter_context(started(tmp_path / "data"))
            port = int(server.url.rpartition(":")[2])
            if first == "stopped":
                server.stop()
        environment = {
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "HOME": str(tmp_path),
            "LANG": "C.UTF-8",
            "OS_CLIENT_CONFIG_FILE": str(tmp_path / "data" / "clouds.yaml"),
            "OS_CLOUD": "tintype",
            "TINTYPE_SERVER_PORT": str(port),
            **MEASURED,
        }
        done = subprocess.run(
            ["bash", "-c", script(page, port)],
            cwd=tmp_path,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=240,
            check=False,
        )
    assert done.returncode == 0, done.stdout
    check(page, done.stdout, port)
