"""Make the blocking client of the asynchronous one. `make docs`; a test holds the files to it.

python tools/blocking.py [FOLDER]
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import unasync

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "tintype" / "client" / "aio"
TARGET = SOURCE.with_name("blocking")
WRITTEN = {"__init__.py", "io.py"}
"""By hand: what differs in more than its words."""
WORDS = {
    "AsyncClient": "Client",
    "aio": "blocking",
    "aiter_raw": "iter_raw",
    "aread": "read",
    "aclose": "close",
    "asynccontextmanager": "contextmanager",
    "io.call": "io.call",
    "AsyncBaseTransport": "BaseTransport",
    "AsyncHTTPTransport": "HTTPTransport",
    "handle_async_request": "handle_request",
}
MADE = "# Made by `make docs` of ../aio; do not edit.\n"


def main(folder: Path) -> None:
    """Write every module."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        rule = unasync.Rule(f"{SOURCE}/", f"{scratch}/", additional_replacements=WORDS)
        modules = [path for path in sorted(SOURCE.glob("*.py")) if path.name not in WRITTEN]
        unasync.unasync_files([str(path) for path in modules], [rule])
        for path in modules:
            text = (Path(scratch) / path.name).read_text()
            (folder / path.name).write_text(MADE + text)
    ruff = [sys.executable, "-m", "ruff"]
    files = [str(folder / path.name) for path in modules]
    subprocess.run([*ruff, "check", "--quiet", "--fix-only", "--select=I", *files], check=True, cwd=ROOT)
    subprocess.run([*ruff, "format", "--quiet", *files], check=True, cwd=ROOT)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET)
