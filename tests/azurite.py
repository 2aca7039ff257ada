"""A temporary Azurite, Microsoft's emulator of Azure Blob Storage, on a free loopback port."""

import base64
import contextlib
import email.utils
import hashlib
import hmac
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2

from processes import free_ports
from tintype.blobs import objects
from tintype.blobs.objects import ObjectStore

PROGRAM = Path(__file__).parents[1] / ".azurite/node_modules/.bin/azurite-blob"
CONTAINER = "images"
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""The account and key of every Azurite, which Microsoft publishes."""
_VERSION = "2021-08-06"


def available() -> bool:
    """Return whether Azurite is installed."""
    return PROGRAM.exists()


class Azurite:
    """A running Azurite with an empty container."""

    def __init__(self, folder: Path) -> None:
        (port,) = free_ports(1)
        self._root = f"http://127.0.0.1:{port}"
        self.url = f"{self._root}/{ACCOUNT}"
        address = ["--blobHost", "127.0.0.1", "--blobPort", str(port), "--location", str(folder)]
        self._process = subprocess.Popen(
            [PROGRAM, *address, "--silent", "--skipApiVersionCheck", "--disableTelemetry"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._wait()
        assert self.request("PUT", f"/{CONTAINER}", "restype=container").status_code == 201

    def store(self, *, container: str = CONTAINER, timeout: int = 30, key: str = KEY) -> ObjectStore:
        """Return a store in the container."""
        options = {"account_name": ACCOUNT, "account_key": key, "endpoint": self.url}
        return objects.azure("cloud", bucket=container, prefix="tintype/", timeout=timeout, options=options)

    def request(self, method: str, path: str, query: str) -> httpx2.Response:
        """Send a signed request, for operations that obstore does not have."""
        date = email.utils.formatdate(usegmt=True)
        asked = "".join(f"\n{pair.replace('=', ':')}" for pair in sorted(query.split("&")))
        signed = f"x-ms-date:{date}\nx-ms-version:{_VERSION}\n/{ACCOUNT}/{ACCOUNT}{path}{asked}"
        text = f"{method}{12 * chr(10)}{signed}".encode()
        digest = hmac.digest(base64.b64decode(KEY), text, hashlib.sha256)
        headers = {
            "x-ms-date": date,
            "x-ms-version": _VERSION,
            "Authorization": f"SharedKey {ACCOUNT}:{base64.b64encode(digest).decode()}",
        }
        return httpx2.request(method, f"{self.url}{path}?{query}", headers=headers, timeout=30)

    @contextlib.contextmanager
    def silent(self) -> Iterator[None]:
        """Stop Azurite from responding; it still accepts connections."""
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        """Stop Azurite."""
        self._process.terminate()
        self._process.wait(30)

    def _wait(self) -> None:
        deadline = time.monotonic() + 120
        while True:
            assert self._process.poll() is None, "Azurite has ended"
            assert time.monotonic() < deadline, "Azurite does not start"
            with contextlib.suppress(httpx2.TransportError):
                httpx2.get(self._root)
                return
            time.sleep(0.1)
