"""The curl steps of a user's walk through the API, as they wrote them."""

import json
import subprocess
from typing import Any

import pytest

from processes import Server


@pytest.fixture(scope="module")
def token(server: Server) -> str:
    """Issue a token as the walkthrough does."""
    return server.run("openstack", "token", "issue", "-f", "value", "-c", "id", cloud="alice").stdout.strip()


pytestmark = pytest.mark.needs("curl")


def curl(*arguments: str) -> Any:
    done = subprocess.run(
        ["curl", "-sS", "-f", *arguments], capture_output=True, text=True, check=True, timeout=60
    )
    return json.loads(done.stdout) if done.stdout else None


def test_each_step(server: Server, token: str) -> None:
    """List, create, show, tasks, patch, tag, delete: each answered in the shape that is shown there."""
    auth = ("-H", f"X-AUTH-TOKEN: {token}")
    images = f"{server.url}/v2/images"
    attributes = '{"disk_format": "qcow2", "min_disk": 2, "min_ram": 1, "name": "centos"}'
    made = curl("-X", "POST", *auth, "-H", "content-type: application/json", "-d", attributes, images)
    assert (made["name"], made["status"], made["min_disk"], made["visibility"]) == (
        "centos",
        "queued",
        2,
        "shared",
    )
    image = f"{images}/{made['id']}"

    listed = curl("-X", "GET", *auth, images)
    assert set(listed) == {"images", "first", "schema"}
    assert listed["images"][0] == made
    assert list(made)[:3] == ["name", "disk_format", "container_format"]
    assert list(made)[-4:] == ["tags", "self", "file", "schema"]

    assert curl(*auth, image) == made
    assert curl(*auth, f"{image}/tasks") == {"tasks": []}

    patch = '[{"op": "replace", "path": "/name", "value": "Centos 7-Patch-Name"}]'
    media_type = "content-type: application/openstack-images-v2.1-json-patch"
    patched = curl("-X", "PATCH", "-H", media_type, *auth, "-d", patch, image)
    assert patched["name"] == "Centos 7-Patch-Name"
    assert curl("-X", "PUT", *auth, f"{image}/tags/tag1") is None
    assert curl(*auth, image)["tags"] == ["tag1"]
    assert curl("-X", "DELETE", *auth, image) is None
    with pytest.raises(subprocess.CalledProcessError):
        curl(*auth, image)
