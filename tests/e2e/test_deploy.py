"""The files in deploy/: the container's health check, and the commands in the files."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from processes import BIN, make_certificate, started

DEPLOY = Path(__file__).parents[2] / "deploy"


@pytest.mark.needs("time")
@pytest.mark.needs("openssl")
@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_the_health_check_knows_scheme_and_port(tmp_path: Path, tls: bool) -> None:
    """It finds the service by the same settings, TLS and port too, and fails where nobody answers."""
    settings = {}
    if tls:
        certificate, key = make_certificate(tmp_path)
        settings = {"TINTYPE_SERVER_TLS_CERTIFICATE": str(certificate), "TINTYPE_SERVER_TLS_KEY": str(key)}
    with started(tmp_path / "data", verify=not tls, **settings) as server:
        port: dict[str, Any] = {"TINTYPE_SERVER_PORT": server.url.rpartition(":")[2], **settings}
        for options in ([], ["--live"]):
            server.run(str(BIN / "tintype"), "healthcheck", *options, **port)
        server.stop()
        gone = server.run(str(BIN / "tintype"), "healthcheck", check=False, **port)
        assert gone.returncode == 1
        assert "does not answer" in gone.stderr
        assert "Traceback" not in gone.stderr


def test_the_files_call_commands_that_exist() -> None:
    """Each `tintype …` of the unit and of the container is a command, with the options that are named."""
    text = "".join(path.read_text() for path in DEPLOY.iterdir() if path.is_file())
    called = {
        tuple(match.replace('", "', " ").rstrip('"]').split())
        for match in re.findall(r'(?:bin/tintype |"tintype", ")([a-z][^\]\n]*)', text)
    }
    assert {command[0] for command in called} == {"serve", "healthcheck"}
    for command in called:
        help_text = [BIN / "tintype", command[0], "--help"]
        shown = subprocess.run(help_text, capture_output=True, text=True, check=True).stdout
        for option in (word for word in command if word.startswith("--")):
            assert option in shown, command
