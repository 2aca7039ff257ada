"""No library logs a token or password at DEBUG, for any client and call."""

import io
import logging
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from clouds import Cloud
from processes import TINTYPE
from tintype.client import AsyncClient, Client
from tintype.client.glance import Client as Glance
from tintype.client.masking import Masking
from tintype.client.pyrax import ImageClient


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    """Keep all that is logged, at DEBUG."""
    kept = io.StringIO()
    handler = logging.StreamHandler(kept)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield kept
    root.removeHandler(handler)
    root.setLevel(level)


def check(text: str, cloud: Cloud, *tokens: str | None) -> None:
    assert "receive_response_headers" in text, "the library's own records are among them"
    for secret in (cloud.login("alice")["password"], *tokens):
        assert secret
        assert secret not in text
    assert "***" in text


def test_the_blocking_client(cloud: Cloud, logged: io.StringIO, tmp_path: Path) -> None:
    """Log-in, list, upload, download."""
    with Client(cloud="alice") as client:
        token = client.transport.access().headers["X-Auth-Token"]
        list(client.images.list())
        image = client.images.create("logged", disk_format="raw", container_format="bare")
        client.images.upload(image.id, b"bytes")
        client.images.download(image.id, tmp_path / "file")
        client.images.delete(image.id)
    check(logged.getvalue(), cloud, token)


async def test_the_asynchronous_client(cloud: Cloud, logged: io.StringIO, tmp_path: Path) -> None:
    """Log-in, list, upload, download."""
    async with AsyncClient(cloud="alice") as client:
        token = (await client.transport.access()).headers["X-Auth-Token"]
        [each async for each in client.images.list()]
        image = await client.images.create("logged", disk_format="raw", container_format="bare")
        await client.images.upload(image.id, b"bytes")
        await client.images.download(image.id, tmp_path / "file")
        await client.images.delete(image.id)
    check(logged.getvalue(), cloud, token)


def test_the_older_interfaces(cloud: Cloud, logged: io.StringIO) -> None:
    """Log-in, list, upload, download, by a cloud's name."""
    glance = Glance("2", cloud="alice")
    token = glance.http_client.auth_token
    list(glance.images.list())
    image = glance.images.create(name="logged", disk_format="raw", container_format="bare")
    glance.images.upload(image.id, io.BytesIO(b"bytes"))
    assert b"".join(glance.images.data(image.id)) == b"bytes"
    glance.images.delete(image.id)
    glance.http_client.close()
    pyrax = ImageClient(cloud="alice")
    other = pyrax.api.transport.access().headers["X-Auth-Token"]
    pyrax.list_all()
    pyrax.api.close()
    check(logged.getvalue(), cloud, token, other)


def test_a_keystoneauth_session(cloud: Cloud, logged: io.StringIO) -> None:
    """The session logs in by itself, with log records of its own."""
    session = cloud.session("alice")
    glance = Glance("2", session=session)
    list(glance.images.list())
    glance.http_client.close()
    text = logged.getvalue()
    assert "keystoneauth" in text or "http://" in text
    for secret in (cloud.login("alice")["password"], session.get_token()):
        assert secret
        assert secret not in text


def test_the_command_line(cloud: Cloud, tmp_path: Path) -> None:
    """`--debug` shows requests and answers on standard error, without secrets; the result stays clean."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "OS_CLIENT_CONFIG_FILE": str(cloud.clouds),
        "OS_CLOUD": "alice",
        "LANG": "C.UTF-8",
    }
    done = subprocess.run(
        [TINTYPE, "--debug", "image", "list", "-f", "json"],
        capture_output=True,
        text=True,
        env=environment,
        check=True,
    )
    check(done.stderr, cloud)
    assert "x-subject-token', ***" in done.stderr.lower()
    assert done.stdout.startswith("[")


@pytest.mark.parametrize(
    "record",
    [
        "receive_response_headers.complete return_value=(b'HTTP/1.1', [(b'X-Subject-Token', b's3cret')])",
        "x return_value=[(b'x-auth-token', b\"s3'cret\"), (b'Authorization', b's3\\'cret')]",
        "send_request_headers.failed exception=LocalProtocolError(\"Illegal header value b's3cret\\n'\")",
        "HTTP Request: GET http://user:s3cret@host/v2/images",
        "[(b'Set-Cookie', b's3cret'), (b'x-service-token', b's3cret')]",
    ],
)
def test_every_form(record: str) -> None:
    """Header names in any case, values in either quotes, errors with a value, logins in addresses."""
    made = logging.LogRecord("httpcore2.http11", logging.DEBUG, "", 0, record, (), None)
    assert Masking().filter(made)
    assert "s3" not in made.getMessage()
    assert "***" in made.getMessage()
