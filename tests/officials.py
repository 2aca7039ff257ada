"""The official command lines, forked from a process that has imported them.

The code that runs is theirs, from their own `main`, in a process of its own; only the import, which takes
a second, is not done for each command.
"""

import atexit
import functools
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence

MAINS = {"openstack": "openstackclient.shell"}
_DRIVER = """
import contextlib, importlib, io, json, os, sys
mains = {name: importlib.import_module(module) for name, module in json.loads(sys.argv[1]).items()}
names, theirs = os.pipe()
if not os.fork():  # most is imported by the first command only: which is learnt from one in another process
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.argv = ["openstack", "--os-auth-type", "none", "--os-endpoint", "http://127.0.0.1:1", "image", "list"]
    with contextlib.suppress(BaseException):
        mains["openstack"].main()
    os.write(theirs, " ".join(name for name in sys.modules if name != "__main__").encode())
    os._exit(0)
os.close(theirs)
for name in open(names).read().split():
    with contextlib.suppress(Exception):
        importlib.import_module(name)
os.wait()
commands, sys.stdin = sys.stdin, open(os.devnull)  # `image create` reads what is not a terminal
while line := commands.buffer.raw.readline():
    if os.fork():
        os.wait()
        continue
    asked = json.loads(line)
    os.environ.clear()
    os.environ.update(asked["environment"])
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    sys.argv = asked["command"]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = mains[sys.argv[0]].main()
        except SystemExit as end:
            code = end.code
    said = [stream.buffer.getvalue().decode() for stream in (out, err)]
    print(json.dumps([code if isinstance(code, int) else int(code is not None), *said]), flush=True)
    os._exit(0)
"""


def run(command: Sequence[str], environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run one command of an official client and return what a process of its own would have said."""
    process = _resident()
    assert process.stdin is not None
    assert process.stdout is not None
    words = [str(word) for word in command]
    process.stdin.write(json.dumps({"command": words, "environment": dict(environment)}) + "\n")
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
