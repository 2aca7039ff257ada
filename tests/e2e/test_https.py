"""HTTPS without a proxy, and proxies that are believed."""

import hashlib
import os
import ssl
from pathlib import Path
from typing import Any

import httpx2
import pytest

from processes import BINARY, make_certificate, started

RAW = {"disk_format": "raw", "container_format": "bare"}


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """Make a certificate for 127.0.0.1, and its key."""
    return make_certificate(tmp_path)


@pytest.mark.needs("openssl")
def test_large_bodies_over_https(certificate: tuple[Path, Path], tmp_path: Path) -> None:
    """Uploads and downloads on one connection, large ones too; plain HTTP is not spoken."""
    files = {
        "TINTYPE_SERVER_TLS_CERTIFICATE": str(certificate[0]),
        "TINTYPE_SERVER_TLS_KEY": str(certificate[1]),
    }
    trust = ssl.create_default_context(cafile=certificate[0])
    with started(tmp_path / "data", verify=trust, **files) as server:
        assert server.url.startswith("https://")
        headers = {"X-Auth-Token": server.log_in(trust)}
        with httpx2.Client(base_url=server.url, headers=headers, verify=trust, timeout=30) as http:
            for size in (0, 70_000, 9_000_001):
                image = f"/v2/images/{http.post('/v2/images', json=RAW).json()['id']}"
                data = os.urandom(size)
                assert http.put(f"{image}/file", content=data, headers=BINARY).status_code == 204
                assert (
                    http.get(image).json()["checksum"] == hashlib.md5(data, usedforsecurity=False).hexdigest()
                )
                assert http.get(f"{image}/file").content == data
        with pytest.raises(httpx2.TransportError):
            httpx2.get(server.url.replace("https:", "http:"), timeout=10)


@pytest.mark.needs("time")
@pytest.mark.needs("openssl")
def test_the_line_to_try(tmp_path: Path) -> None:
    """As printed it works in a shell: with TLS, IPv6, another port, and a folder with awkward characters."""
    folder = tmp_path / "alice's images; and $more"
    certificate, key = make_certificate(tmp_path, address="::1")
    trust = ssl.create_default_context(cafile=certificate)
    files = {"TINTYPE_SERVER_TLS_CERTIFICATE": str(certificate), "TINTYPE_SERVER_TLS_KEY": str(key)}
    for host, environment in (("127.0.0.1", {}), ("::1", files)):  # the first start is another one
        verify = trust if environment else True
        with started(folder, "--host", host, verify=verify, **environment) as server:
            assert "Note:" not in server.output
            line = server.output.strip().splitlines()[-1].removeprefix("Try: ")
            if environment:
                assert server.url.startswith("https://[::1]:")
                done = server.run("sh", "-c", line.replace("image list", "image list -f json"), cloud="")
                assert done.stdout.strip() == "[]"
                assert server.run("tintype", "image", "list").returncode == 0


@pytest.mark.parametrize(
    ("proxies", "believed"), [("127.0.0.1", True), ("192.0.2.0/24", False), (None, False)]
)
def test_forwarded_headers(tmp_path: Path, proxies: str | None, believed: bool) -> None:
    """They count from a trusted address only: in links, and in the log."""
    settings: dict[str, Any] = {"TINTYPE_SERVER_TRUSTED_PROXIES": proxies} if proxies else {}
    with started(tmp_path / "data", **settings) as server:
        forwarded = {
            "X-Forwarded-Proto": "https",
            "X-Forwarded-For": "203.0.113.9",
            "X-Forwarded-Host": "cloud.example",
            "X-Forwarded-Prefix": "/image",
        }
        answer = httpx2.get(f"{server.url}/versions", headers=forwarded)
        link = answer.json()["versions"][0]["links"][0]["href"]
    assert link == ("https://cloud.example/image/v2/" if believed else f"{server.url}/v2/")
    assert ("203.0.113.9" in (tmp_path / "data.log").read_text()) is believed


def test_a_certificate_that_cannot_be_used(tmp_path: Path) -> None:
    """One line at the start."""
    with (
        pytest.raises(AssertionError, match=r"server\.tls_certificate"),
        started(tmp_path / "data", TINTYPE_SERVER_TLS_CERTIFICATE=str(tmp_path / "none.pem")),
    ):
        pass
