"""What other people's clients print of our errors: the reason, in one line, whatever they make of JSON."""

import json
import sys
from collections.abc import Callable
from typing import Any

import httpx2
import openstack
import pytest
from libcloud.common.exceptions import BaseHTTPError
from libcloud.compute.providers import get_driver
from libcloud.compute.types import Provider

from processes import OLD_GLANCECLIENT, PASSWORDS, Server
from tintype.client import Client
from tintype.client import errors as ours

UNKNOWN = "No image found with ID nope"
TWICE = "already exists"
ANONYMOUS = {
    "/v2/images": "The request you have made requires authentication.",
    "/identity/v3/auth/tokens": "The request you have made requires authentication.",
    "/metrics": "This page needs an admin's token, or that of the setting metrics.token.",
}
"""What callers without a token are told."""
PROTECTED = "is protected and cannot be deleted"
GLANCECLIENT = """
import sys
import glanceclient
from keystoneauth1 import session, token_endpoint
url, token, image = sys.argv[1:]
auth = token_endpoint.Token(url, token)
for client in (
    glanceclient.Client("2", session=session.Session(auth=auth)),
    glanceclient.Client("2", endpoint=url, token=token),
):
    for call in (
        lambda: client.images.get("nope"),
        lambda: client.images.create(id=image),
        lambda: client.images.delete(image),
    ):
        try:
            call()
        except glanceclient.exc.HTTPException as error:
            print(type(error).__name__, error)
print(glanceclient.__version__)
"""


@pytest.fixture(scope="module")
def token(server: Server) -> str:
    """Log alice in."""
    done = server.run("openstack", "token", "issue", "-f", "value", "-c", "id", cloud="alice")
    return done.stdout.strip()


@pytest.fixture(scope="module")
def image(server: Server, token: str) -> str:
    """Make a protected image."""
    headers = {"X-Auth-Token": token}
    made = httpx2.post(f"{server.url}/v2/images", json={"protected": True}, headers=headers)
    return str(made.json()["id"])


@pytest.mark.parametrize(
    ("version", "path"),
    [
        pytest.param("3.2.", str(OLD_GLANCECLIENT), marks=pytest.mark.needs("glanceclient")),
        pytest.param("4.", "", id="newest"),
    ],
)
@pytest.mark.needs("time")
def test_glanceclient(server: Server, token: str, image: str, version: str, path: str) -> None:
    """Both ways into the library, old and new: one line with our reason, no failure of its parser."""
    command = (sys.executable, "-c", GLANCECLIENT, server.url, token, image)
    *lines, shown = server.run(*command, PYTHONPATH=path).stdout.splitlines()
    assert shown.startswith(version)
    expected = [
        f"HTTPNotFound HTTP {UNKNOWN}",
        f"HTTPConflict HTTP Image ID {image} {TWICE}!",
        f"HTTPForbidden HTTP Image {image} {PROTECTED}.",
    ]
    assert lines == expected * 2


@pytest.mark.parametrize(
    "path", [pytest.param(str(OLD_GLANCECLIENT), marks=pytest.mark.needs("glanceclient")), ""]
)
@pytest.mark.needs("time")
def test_the_glance_command(server: Server, path: str) -> None:
    """The command prints one line, too."""
    command = (sys.executable, "-c", "from glanceclient.shell import main; main()", "image-show", "nope")
    login: dict[str, Any] = {
        "OS_AUTH_URL": f"{server.url}/identity",
        "OS_USERNAME": "alice",
        "OS_PASSWORD": PASSWORDS["alice"],
        "OS_PROJECT_NAME": "alpha",
        "OS_USER_DOMAIN_ID": "default",
        "OS_PROJECT_DOMAIN_ID": "default",
        "OS_IDENTITY_API_VERSION": "3",
    }
    refused = server.run(*command, check=False, PYTHONPATH=path, **login)
    assert refused.returncode == 1
    assert UNKNOWN in refused.stderr.strip().splitlines()[-1]


def test_the_openstack_command(server: Server, image: str) -> None:
    """It prints what openstacksdk raises."""
    refused = server.run("openstack", "image", "delete", image, cloud="alice", check=False)
    assert refused.returncode == 1
    assert PROTECTED in refused.stderr


@pytest.mark.filterwarnings("default")  # the SDK warns of its own future
def test_openstacksdk(server: Server, image: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason is in `details` and in the text."""
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(server.clouds))
    with openstack.connect(cloud="alice") as cloud:
        with pytest.raises(openstack.exceptions.NotFoundException) as unknown:
            cloud.image.get_image("nope")
        assert unknown.value.details == UNKNOWN
        with pytest.raises(openstack.exceptions.ForbiddenException, match=PROTECTED):
            cloud.image.delete_image(image, ignore_missing=False)
        with pytest.raises(openstack.exceptions.ConflictException, match=TWICE):
            cloud.image.create_image("x", id=image)


def test_libcloud(server: Server, image: str) -> None:
    """Apache libcloud takes the first value of the JSON for an object with a message."""
    driver: Any = get_driver(Provider.OPENSTACK)(
        "alice",
        PASSWORDS["alice"],
        ex_force_auth_url=f"{server.url}/identity",
        ex_force_auth_version="3.x_password",
        ex_force_service_region="RegionOne",
        ex_tenant_name="alpha",
        ex_domain_name="Default",
        api_version="2.0",
    )
    assert image in [each.id for each in driver.list_images()]
    call: Callable[[], Any]
    for call, code, reason in (
        (lambda: driver.get_image("nope"), 404, UNKNOWN),
        (lambda: driver.ex_list_image_members("nope"), 404, UNKNOWN),
        (lambda: driver.ex_update_image(image, [{"op": "move"}]), 400, "Invalid operation"),
    ):
        with pytest.raises(BaseHTTPError) as refused:
            call()
        assert refused.value.code == code
        assert reason in str(refused.value)
        assert "\n" not in str(refused.value)


def test_our_own(server: Server, token: str, image: str) -> None:
    """Our client has the reason alone, and the request's id beside it."""
    with Client(endpoint=server.url, token=token) as client:
        with pytest.raises(ours.NotFound) as unknown:
            client.images.get("nope")
        assert (unknown.value.message, unknown.value.code) == (UNKNOWN, 404)
        assert str(unknown.value.request_id).startswith("req-")
        with pytest.raises(ours.Forbidden, match=PROTECTED):
            client.images.delete(image)


def _fog(body: str) -> Any:
    """Read as fog-openstack does: `message` at the top, else in the first value."""
    data = json.loads(body)
    return data.get("message") or next(iter(data.values()))["message"]


def _tempest(body: str) -> Any:
    """Read as tempest does: the first value, where it is the only one and an object."""
    (first,) = json.loads(body).values()
    return first["message"]


def _gophercloud(body: str) -> Any:
    """Print as gophercloud does: the body as it is, behind what was asked."""
    assert "\n" not in body
    return json.loads(body)["error"]["message"]


@pytest.mark.parametrize("read", [_fog, _tempest, _gophercloud])
def test_clients_in_other_languages(server: Server, token: str, read: Callable[[str], Any]) -> None:
    """What they are known to do with a body finds the reason, of the image API and of the identity."""
    headers = {"X-Auth-Token": token}
    assert read(httpx2.get(f"{server.url}/v2/images/nope", headers=headers).text) == UNKNOWN
    said = {path: read(httpx2.get(f"{server.url}{path}").text) for path in ANONYMOUS}
    assert said == ANONYMOUS
