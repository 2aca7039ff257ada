"""Commands of official clients, run in forks of a process that has imported them.

The code that runs is theirs, from their own `main`, in a process with standard streams of its own; only
the import, which takes up to a second, is not repeated for each command.
"""

import atexit
import functools
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

MAINS = {
    "openstack": "openstackclient.shell:main",
    "glance": "glanceclient.shell:main",
    "tintype": "tintype.cli.main:run",
}
_DRIVER = """
import contextlib, importlib, json, os, sys
mains = {}
for name, place in json.loads(sys.argv[1]).items():
    module, _, function = place.partition(":")
    mains[name] = getattr(importlib.import_module(module), function)

def run(argv, out, err):
    for number, file in ((0, os.open(os.devnull, os.O_RDONLY)), (1, out), (2, err)):
        os.dup2(file, number)
    sys.stdin, sys.stdout, sys.stderr = (open(n, "w" if n else "r", closefd=False) for n in range(3))
    sys.argv = argv
    try:
        code = mains[argv[0]]()
    except SystemExit as end:
        code = end.code
        if isinstance(code, str):
            print(code, file=sys.stderr)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    return code if isinstance(code, int) else int(code is not None)

# Commands import most of what they need when they run: learn what that is from one of each.
for words in ("openstack image list", "tintype image list", "tintype user list"):
    names, theirs = os.pipe()
    if not os.fork():
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.environ |= {"OS_AUTH_TYPE": "none", "OS_ENDPOINT": "http://127.0.0.1:1"}
        os.environ["TINTYPE_DATA_DIR"] = "/nowhere"
        with contextlib.suppress(BaseException):
            run(words.split(), nothing, nothing)
        os.write(theirs, " ".join(name for name in sys.modules if name != "__main__").encode())
        os._exit(0)
    os.close(theirs)
    for name in open(names).read().split():
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    os.wait()

answers, commands = os.fdopen(os.dup(1), "w"), os.fdopen(os.dup(0), "rb", buffering=0)
while line := commands.readline():
    out, err = os.memfd_create("out"), os.memfd_create("err")
    if not os.fork():
        asked = json.loads(line)
        os.environ.clear()
        os.environ.update(asked["environment"])
        os.chdir(asked["folder"])
        try:
            code = run(asked["command"], out, err)
        except BaseException:
            sys.excepthook(*sys.exc_info())
            sys.stderr.flush()
            code = 1
        os._exit(code)
    code = os.waitstatus_to_exitcode(os.wait()[1])
    said = []
    for file in (out, err):
        with os.fdopen(file, encoding="utf-8", errors="replace", newline="") as whole:
            whole.seek(0)
            said.append(whole.read())
    print(json.dumps([code, *said]), file=answers, flush=True)
"""


def run(
    command: Sequence[str], environment: Mapping[str, str], folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command, in a folder or the current one; return the result as a separate process would."""
    process = _resident()
    assert process.stdin is not None
    assert process.stdout is not None
    words = [str(word) for word in command]
    asked = {"command": words, "environment": dict(environment), "folder": str(folder or Path.cwd())}
    process.stdin.write(json.dumps(asked) + "\n")
    process.stdin.flush()
    answer = process.stdout.readline()
    assert answer, f"the process of {command[0]} has ended"
    return subprocess.CompletedProcess(words, *json.loads(answer))


@functools.cache
def _resident() -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", _DRIVER, json.dumps(MAINS)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    atexit.register(_end, process)
    return process


def _end(process: subprocess.Popen[str]) -> None:
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()
    process.wait(20)
