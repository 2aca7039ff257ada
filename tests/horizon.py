"""The REST API of a real Horizon, in a separate process. `make horizon` installs it."""

import json
import subprocess
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PYTHON = ROOT / ".venv-horizon" / "bin" / "python"
SCRIPT = ROOT / "tests" / "horizon_rest.py"


class Horizon:
    """Answers calls as `openstack_dashboard.api.rest` does, with users of a Keystone."""

    def __init__(self, keystone_url: str, log: Path) -> None:
        with log.open("w") as errors:
            self._process = subprocess.Popen(
                [PYTHON, "-I", SCRIPT, keystone_url],  # beside the script lie modules of the same names
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )

    def call(self, **call: Any) -> dict[str, Any]:
        """Return status, body and location of the response to a call."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(call) + "\n")
        self._process.stdin.flush()
        return dict(json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(20)
        self._process.stdout.close()


def available() -> bool:
    return (PYTHON.parents[1] / ".ready").exists()
