"""`tintype check` and the start report components that do not work, by name, with a reason, in time."""

import hashlib
import ipaddress
import json
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from typer import Exit

from inprocess import make_settings
from processes import eventually, free_ports, started
from tintype import data_folder
from tintype.cli.check import check
from tintype.wiring import service as wiring

TOKEN = "a-token-for-operators"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the data folder of a service that was started once."""
    data_folder.prepare(wiring.Service(make_settings(tmp_path / "data")), "http://testserver")
    return tmp_path / "data"


def everything(folder: Path) -> dict[str, str]:
    """Return a digest of each file below a folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        for path in folder.rglob("*")
    }


def checked(folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, str]]:
    """Run the command; return its exit code, and for each part what it says of it."""
    code = 0
    try:
        check(folder)
    except Exit as ended:
        code = ended.exit_code
    found = {}
    for line in capsys.readouterr().out.splitlines():
        level, part = line.split(maxsplit=1)
        name, _, detail = part.partition(":")
        found[name] = f"{level}{detail}"
    return code, found


def test_before_the_first_start(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is there: that is told, is no failure, and nothing is made."""
    code, found = checked(tmp_path / "data", capsys)
    assert code == 0
    assert found["database"].startswith("warning")
    assert found["store local"].startswith("warning")
    assert everything(tmp_path) == {}


def test_where_all_is_well(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every part is ok, and stays as it was."""
    before = everything(folder)
    code, found = checked(folder, capsys)
    assert (code, {said.split()[0] for said in found.values()}) == (0, {"ok"})
    assert {"settings", "data folder", "database", "store local", "policy"} <= found.keys()
    assert everything(folder) == before


def test_copies_in_a_store_that_was_removed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Their images cannot be downloaded any more, which only a download would show otherwise."""
    with sqlite3.connect(folder / "tintype.db") as database:
        names = "id, store, image_id, state, size, lease_expires_at, created_at"
        for key in ("a", "b"):
            row = f"'{key}', 'old', '{key}', 'ready', 1, 0, 0"
            database.execute(f"INSERT INTO blobs ({names}) VALUES ({row})")
    database.close()
    code, found = checked(folder, capsys)
    assert code == 1
    assert found["store old"] == "failed It has 2 copies of images, and is not in the settings."


def unmount(folder: Path) -> dict[str, str]:
    """Take the images away, of which there is one."""
    with sqlite3.connect(folder / "tintype.db") as database:
        names = "id, store, image_id, state, size, lease_expires_at, created_at"
        database.execute(f"INSERT INTO blobs ({names}) VALUES ('a', 'local', 'a', 'ready', 1, 0, 0)")
    database.close()
    (folder / "images").rename(folder / "elsewhere")
    return {}


def write_nonsense_policy(folder: Path) -> dict[str, str]:
    """Write a rule that means nothing."""
    (folder / "policy.yaml").write_text("get_image: 'and or'\n")
    return {}


def use_silent_server(_folder: Path) -> dict[str, str]:
    """Name a store where nobody listens."""
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}/secret-path"
    return {
        "TINTYPE_STORES_LOCAL_TYPE": "file",
        "TINTYPE_STORES_WEB_TYPE": "http",
        "TINTYPE_STORES_WEB_URL": url,
    }


@pytest.mark.parametrize(
    ("harm", "part", "says"),
    [
        (unmount, "store local", "missing or not mounted"),
        (write_nonsense_policy, "policy", "policy.yaml"),
        (use_silent_server, "store web", "does not answer"),
        (lambda _: {"TINTYPE_LOG_LEVEL": "loud"}, "settings", "debug, info, warning, error"),
        (lambda _: {"TINTYPE_IMPORTS_PLUGINS": "convert", "PATH": "/nowhere"}, "import plugins", "qemu-img"),
        (
            lambda _: {"TINTYPE_DATABASE_URL": "postgresql://u:hidden@127.0.0.1:1/x"},
            "database",
            "127.0.0.1:1",
        ),
        (
            lambda _: {"TINTYPE_KEYSTONE_AUTH_URL": "http://127.0.0.1:1/v3"},
            "identity",
            "TINTYPE_KEYSTONE_PASSWORD",
        ),
        (
            lambda _: {
                "TINTYPE_KEYSTONE_AUTH_URL": "http://127.0.0.1:1/v3",
                "TINTYPE_KEYSTONE_PASSWORD": "hidden",
            },
            "identity",
            "it refuses connections",
        ),
        (
            lambda folder: {
                "TINTYPE_STORES_A_TYPE": "gcs",
                "TINTYPE_STORES_A_BUCKET": "b",
                "TINTYPE_STORES_A_OPTIONS": json.dumps({"service_account": str(folder / "none.json")}),
            },
            "store A".lower(),
            "none.json",
        ),
        (
            lambda _: {"TINTYPE_STORES_A_TYPE": "rbd", "TINTYPE_STORES_A_CONF": "/nowhere/ceph.conf"},
            "store a",
            "",
        ),
    ],
)
def test_what_does_not_work_is_told_by_name(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    harm: Callable[[Path], dict[str, str]],
    part: str,
    says: str,
) -> None:
    """The part's line says failed and why, without any secret; the exit code is 1, and nothing is changed."""
    for name, value in harm(folder).items():
        monkeypatch.setenv(name, value)
    before = everything(folder)
    code, found = checked(folder, capsys)
    assert code == 1
    assert found[part].startswith("failed")
    assert says in found[part]
    assert "hidden" not in str(found)
    assert everything(folder) == before


def make_certificate(
    folder: Path, name: str, *, days: int = 100, password: str | None = None
) -> tuple[Path, Path]:
    """Make a certificate for 127.0.0.1 that expires in so many days, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "tintype")])
    now = datetime.now(UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=200))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate, key_file = folder / f"{name}.pem", folder / f"{name}-key.pem"
    certificate.write_bytes(made.public_bytes(Encoding.PEM))
    hidden = BestAvailableEncryption(password.encode()) if password else NoEncryption()
    key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, hidden))
    return certificate, key_file


@pytest.mark.parametrize(
    ("which", "part", "says"),
    [
        ("another key", "certificate", "does not belong to the first certificate in"),
        ("key with a password", "certificate", "is protected by a password"),
        ("no key", "certificate", "Set the file of the key in server.tls_key"),
        ("no certificate", "certificate", "has no certificate in PEM form"),
        ("no file", "certificate", "No such file"),
        ("damaged", "certificate", "cannot be read"),
        ("expired", "certificate expiry", "failed It expired on"),
        ("soon", "certificate expiry", "warning It expires on"),
    ],
)
def test_certificates_say_what_is_wrong_with_which_file(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    which: str,
    part: str,
    says: str,
) -> None:
    """OpenSSL's own words are `[SSL] PEM lib` for most of it."""
    certificate, key = make_certificate(folder.parent, "good")
    other = make_certificate(
        folder.parent,
        "other",
        days={"expired": -1, "soon": 5}.get(which, 100),
        password="hidden" if which == "key with a password" else None,
    )
    damaged = folder.parent / "damaged.pem"
    damaged.write_bytes(
        certificate.read_bytes().replace(b"M", b"N", 1)[:-200] + b"\n-----END CERTIFICATE-----\n"
    )
    files: dict[str, tuple[Path, Path | None]] = {
        "another key": (certificate, other[1]),
        "key with a password": other,
        "no key": (certificate, None),
        "no certificate": (key, key),
        "no file": (folder / "none.pem", key),
        "damaged": (damaged, key),
        "expired": other,
        "soon": other,
    }
    monkeypatch.setenv("TINTYPE_SERVER_TLS_CERTIFICATE", str(files[which][0]))
    if files[which][1] is not None:
        monkeypatch.setenv("TINTYPE_SERVER_TLS_KEY", str(files[which][1]))
    code, found = checked(folder, capsys)
    assert code == (0 if which == "soon" else 1)
    assert says in found[part]
    if part == "certificate":
        wrong = files[which][1] if which in {"another key", "key with a password"} else files[which][0]
        assert str(wrong) in found[part]


@pytest.mark.e2e
def test_a_start_warns_of_what_does_not_work_now(tmp_path: Path) -> None:
    """It serves all the same; the log and the health of the service name the part and its reason."""
    environment: dict[str, Any] = {**use_silent_server(tmp_path), "TINTYPE_METRICS_TOKEN": TOKEN}
    log = tmp_path / "data.log"
    with started(tmp_path / "data", **environment) as running:
        eventually(lambda: "component does not work" in log.read_text())
        line = next(json.loads(each) for each in log.read_text().splitlines() if "does not work" in each)
        assert (line["level"], line["part"]) == ("warning", "store web")
        bearer = {"Authorization": f"Bearer {TOKEN}"}
        detail = httpx2.get(f"{running.url}/healthcheck/detail", headers=bearer)
        assert detail.status_code == 503
        parts = detail.json()["parts"]
        assert {name: part["ok"] for name, part in parts.items()} == {
            "database": True,
            "identity": True,
            "store local": True,
            "store web": False,
        }
        assert "does not answer" in parts["store web"]["reason"]
        assert httpx2.get(f"{running.url}/healthcheck").status_code == 200
