"""The page below a path of a front server that strips that path: https://host/images/ leads to all of it."""

import contextlib
import hashlib
import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from people import Person
from processes import Server, eventually

Browse = Callable[..., Person]
PREFIX = "/clouds/images"
CONFIGURATION = """\
daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx.log; {user}
events {{}}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{
    listen 127.0.0.1:{port};
    client_max_body_size 0;
    location {prefix}/ {{
      proxy_pass {url}/;
      proxy_http_version 1.1;
      proxy_request_buffering off;
      proxy_buffering off;
    }}
  }}
}}
"""


@pytest.fixture
def front(server: Server, tmp_path: Path) -> Iterator[str]:
    """Start nginx in front of the server; gives the address below which it is."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    user = f"user {'root' if os.geteuid() == 0 else 'nobody'};"
    (tmp_path / "nginx.conf").write_text(
        CONFIGURATION.format(folder=tmp_path, port=port, prefix=PREFIX, url=server.url, user=user)
    )
    command: list[str | Path] = ["nginx", "-p", tmp_path, "-e", tmp_path / "nginx.log"]
    process = subprocess.Popen([*command, "-c", tmp_path / "nginx.conf"])
    try:
        eventually(lambda: answers(port))
        yield f"http://127.0.0.1:{port}{PREFIX}"
    finally:
        process.terminate()
        process.wait(10)


def answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


@pytest.mark.needs("nginx")
def test_the_page_works_below_a_prefix(browse: Browse, front: str, tmp_path: Path) -> None:
    """Found from the prefix alone; log-in, upload in pieces, events, download; nothing is asked elsewhere."""
    person = browse(None, url=front)
    page = person.page
    elsewhere: list[str] = []
    page.on("request", lambda sent: elsewhere.append(sent.url) if outside(sent.url, front) else None)
    for start in ("", "/", "/dashboard"):
        page.goto(f"{front}{start or '/'}")
        expect(page.get_by_label("User name")).to_be_visible()
        assert page.url == f"{front}/dashboard/"
    with page.expect_request("**/events/"):
        person.log_in("alice", "alice-secret")
    file = tmp_path / "prefixed.raw"
    file.write_bytes(os.urandom(20_000_000))  # more than one piece
    person.create(file)
    person.is_active("prefixed")
    page.get_by_label("Images on a page").select_option("50")
    expect(page.get_by_label("Images on a page")).to_have_value("50")
    cookie = next(each for each in page.context.cookies() if each["name"] == "API_RESULT_PAGE_SIZE")
    assert cookie["path"] == f"{PREFIX}/"
    person.open("prefixed")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    download.value.save_as(tmp_path / "again")
    assert digest(tmp_path / "again") == digest(file)
    for place in ("offers", "tasks", "usage", "metadata"):
        person.go(place)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    person.press("Log out")
    expect(page.get_by_label("User name")).to_be_visible()
    assert not elsewhere, elsewhere


def outside(url: str, front: str) -> bool:
    return url.startswith("http") and not url.startswith(f"{front}/")


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
