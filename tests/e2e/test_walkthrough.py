"""The curl lines of a user's walk through the API, as they wrote them."""

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from processes import Server, answers, eventually, free_ports, started

LINES = {
    "list": """curl  -X GET -H "X-AUTH_TOKEN: TOKEN"  http://10.0.78.69/image/v2/images""",
    "show": (
        """curl -H "X-AUTH_TOKEN: TOKEN"  """
        """http://10.0.78.69/image/v2/images/6caf7a3f-feb9-4fb1-afb2-993c1ef019e6"""
    ),
    "tasks": (
        """curl -H "X-AUTH_TOKEN: TOKEN"  """
        """http://10.0.78.69/image/v2/images/6caf7a3f-feb9-4fb1-afb2-993c1ef019e6/tasks"""
    ),
    "create": (
        """curl -X POST -H "X-AUTH_TOKEN: TOKEN" -H "content-type: application/json" """
        """-d '{"disk_format": "qcow2", "min_disk": 2, "min_ram": 1, "name": "centos"}'  """
        """http://10.0.78.69/image/v2/images"""
    ),
    "update": (
        """curl -X PATCH -H "content-type: application/openstack-images-v2.1-json-patch" """
        """-H "X-AUTH-TOKEN: TOKEN" """
        """-d '[{"op": "replace", "path": "/name", "value": "Centos 7-Patch-Name"}]' """
        """http://10.0.78.69/image/v2/images/f1fa3214-a3d0-4f78-b8c0-7674ff5f4538"""
    ),
    "tag": (
        """curl -X PUT -H "X-AUTH_TOKEN: TOKEN"  """
        """http://10.0.78.69/image/v2/images/13d88679-8f83-4d46-bddb-fa3a1cbd14dc/tags/tag1"""
    ),
    "delete": (
        """curl -X DELETE -H "X-AUTH_TOKEN: TOKEN"  """
        """http://10.0.78.69/image/v2/images/f1fa3214-a3d0-4f78-b8c0-7674ff5f4538"""
    ),
}
"""Word for word; TOKEN stands for what `openstack token issue` gives."""

IDS = [
    "6caf7a3f-feb9-4fb1-afb2-993c1ef019e6",
    "f1fa3214-a3d0-4f78-b8c0-7674ff5f4538",
    "13d88679-8f83-4d46-bddb-fa3a1cbd14dc",
]
SITE = """\
daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx.log; {user}
events {{}}
http {{
    access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    server {{
        listen 127.0.0.1:{port};
        {page}
    }}
}}
"""


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Server]:
    """Give a server that believes what a proxy on this machine says."""
    with started(tmp_path / "data", TINTYPE_SERVER_TRUSTED_PROXIES="127.0.0.1") as server:
        yield server


@contextlib.contextmanager
def below_image(folder: Path, server: Server) -> Iterator[str]:
    """Run nginx as docs/howto/run-the-service.md says: the service stands below /image."""
    page = (Path(__file__).parents[2] / "docs" / "howto" / "run-the-service.md").read_text()
    site = page.split("```nginx\n")[1].split("```")[0].replace("http://127.0.0.1:9292", server.url)
    folder.mkdir()
    (port,) = free_ports(1)
    user = "user root;" if os.geteuid() == 0 else ""
    conf = folder / "nginx.conf"
    conf.write_text(SITE.format(folder=folder, port=port, page=site, user=user))
    process = subprocess.Popen(["nginx", "-p", str(folder), "-e", str(folder / "nginx.log"), "-c", str(conf)])
    try:
        eventually(lambda: answers(port))
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


def walk(server: Server, host: str, prefix: str) -> None:
    """Run each line, with the address that it names led to a server of ours."""
    token = server.run("openstack", "token", "issue", "-f", "value", "-c", "id").stdout.strip()

    def curl(line: str, *more: str) -> Any:
        line = line.replace("TOKEN:", "TOK:").replace("TOKEN", token).replace("TOK:", "TOKEN:")
        line = line.replace("/image/v2", f"{prefix}/v2")
        line = line.replace("curl ", f"curl -sS -f --connect-to 10.0.78.69:80:{host} {' '.join(more)} ", 1)
        done = subprocess.run(line, shell=True, capture_output=True, text=True, check=True, timeout=60)  # noqa: S602 -- as a person would
        return json.loads(done.stdout) if done.stdout.startswith(("{", "[")) else done.stdout

    for image_id in IDS:
        curl(LINES["create"].replace('"name"', f'"id": "{image_id}", "name"'))
    made = curl(LINES["create"])
    assert (made["name"], made["status"], made["min_disk"], made["visibility"]) == (
        *("centos", "queued", 2, "shared"),
    )
    assert list(made)[:3] == ["name", "disk_format", "container_format"]
    assert list(made)[-4:] == ["tags", "self", "file", "schema"]
    listed = curl(LINES["list"])
    assert set(listed) == {"images", "first", "schema"}
    assert listed["images"][0] == made
    shown = curl(LINES["show"])
    assert (shown["id"], shown["self"]) == (IDS[0], f"/v2/images/{IDS[0]}")
    assert curl(LINES["tasks"]) == {"tasks": []}
    assert curl(LINES["update"])["name"] == "Centos 7-Patch-Name"
    assert curl(LINES["tag"]) == ""
    assert curl(LINES["show"].replace(IDS[0], IDS[2]))["tags"] == ["tag1"]
    assert curl(LINES["delete"]) == ""
    with pytest.raises(subprocess.CalledProcessError):
        curl(LINES["show"].replace(IDS[0], IDS[1]))
    head = curl(LINES["create"], "-D", "-", "-o", "/dev/null")
    assert f"location: http://10.0.78.69{prefix}/v2/images/" in head.lower()


@pytest.mark.needs("curl")
def test_the_lines_at_the_root(service: Server) -> None:
    """Each line is answered in the shape that is shown there, where the service has the whole host."""
    walk(service, service.url.removeprefix("http://"), "")


@pytest.mark.needs("curl")
@pytest.mark.needs("nginx")
def test_the_lines_below_image(service: Server, tmp_path: Path) -> None:
    """And word for word where it stands below /image, as DevStack has it, without `public_url`."""
    with below_image(tmp_path / "nginx", service) as host:
        walk(service, host, "/image")
