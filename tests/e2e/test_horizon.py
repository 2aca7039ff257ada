"""The dashboard's REST API compared with a real Horizon's, for the same images, users and definitions.

Every call is made to both. What differs on purpose is named in the call, with its reason; the rest is equal.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

import keystone as keystones
from horizon import Horizon
from keystone import PASSWORD, Keystone
from processes import BINARY, started

pytestmark = [
    pytest.mark.needs("keystone"),
    pytest.mark.needs("horizon"),
    pytest.mark.xdist_group("keystone"),
]
AJAX = {"X-Requested-With": "XMLHttpRequest"}
_SAID = re.compile(r"^HTTP (.*)$")
"""How Horizon's client writes what a service said of a failure."""
IMAGE, FLAVOR, SERVER = "OS::Glance::Image", "OS::Nova::Flavor", "OS::Nova::Server"


class Both:
    """One person at a Horizon and at a dashboard of ours."""

    def __init__(self, keystone: Keystone, horizon: Horizon, url: str, name: str, project: str) -> None:
        self._horizon = horizon
        self.token = keystone.log_in(name, project)
        self.http = httpx2.Client(base_url=url, timeout=60, trust_env=False)
        body = {"username": name, "password": PASSWORD, "domain": "Default", "project": project}
        answer = self.http.post("/api/session/", json=body, headers=AJAX)
        assert answer.status_code == 200, answer.text
        self.project = answer.json()["project"]["id"]

    def horizon(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        said = self._horizon.call(method=method, path=f"glance/{path}", **{"token": self.token, **more})
        if isinstance(said["body"], str):
            found = _SAID.match(said["body"])
            said["body"] = found[1] if found else said["body"]
        return said

    def ours(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        headers = {"X-CSRFToken": self.http.cookies.get("csrftoken") or ""}
        headers |= AJAX if more.get("ajax", True) else {}
        options: dict[str, Any] = {"params": more.get("query")}
        if "form" in more:
            options["data"] = more["form"]
            options["files"] = {name: (file, text.encode()) for name, (file, text) in more["files"].items()}
        elif "text" in more or "body" in more:
            options["content"] = more["text"] if "text" in more else json.dumps(more["body"])
        http = self.http
        if more.get("token", self.token) is None:
            http = httpx2.Client(base_url=http.base_url, trust_env=False)
        if "cookies" in more:
            kept = {**dict(http.cookies), **more["cookies"]}
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in kept.items())
            http = httpx2.Client(base_url=http.base_url, trust_env=False)
        answer = http.request(method, f"/api/glance/{path}", headers=headers, **options)
        if http is not self.http:
            http.close()
        try:
            body = answer.json()
        except ValueError:
            body = answer.text
        return {"status": answer.status_code, "body": body, "location": answer.headers.get("location")}

    def same(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        """Ask both for what changes nothing; the answers are equal."""
        theirs, ours = self.horizon(method, path, **more), self.ours(method, path, **more)
        assert ours == theirs, (method, path, more)
        return ours


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Both]]:
    """Give alice and admin, with images of many kinds."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(keystones, "TOKEN_SECONDS", 900)
        keystone = Keystone(tmp_path_factory.mktemp("keystone"))
    folder = tmp_path_factory.mktemp("tintype")
    settings: dict[str, Any] = {
        "TINTYPE_KEYSTONE_AUTH_URL": keystone.url,
        "TINTYPE_KEYSTONE_PASSWORD": PASSWORD,
    }
    try:
        with started(folder / "data", **settings) as server:
            keystone.offer(server.url)
            horizon = Horizon(keystone.url, folder / "horizon.log")
            who = {
                name: Both(keystone, horizon, server.url, name, project)
                for name, project in (("alice", "alpha"), ("admin", "admin"), ("bob", "beta"))
            }
            fill(who["alice"])
            yield who
            horizon.close()
            for each in who.values():
                each.http.close()
    finally:
        keystone.stop()


def fill(alice: Both) -> None:
    for number in range(7):
        body = {
            "name": f"image-{number}",
            "disk_format": ("raw", "qcow2", "ami", "vhd")[number % 4],
            "visibility": ("private", "shared")[number % 2],
            "color": ("red", "blue")[number % 2],
            "kernel": "k" if number == 2 else None,
            "architecture": "x86_64" if number == 3 else None,
            "description": "d" if number == 4 else None,
        }
        body = {name: value for name, value in body.items() if value is not None}
        made = alice.ours("PUT", "images/", body=body)
        assert made["status"] == 201, made
        if number == 0:
            headers = {"X-Auth-Token": alice.token, **BINARY}
            path = f"/v2/images/{made['body']['id']}/file"
            assert alice.http.put(path, content=b"bytes", headers=headers).status_code == 204


def ids(person: Both) -> dict[str, str]:
    return {image["name"]: image["id"] for image in person.ours("GET", "images/")["body"]["items"]}


QUERIES: tuple[dict[str, str], ...] = (
    {},
    {"sort_key": "name", "sort_dir": "asc"},
    {"sort_key": "size"},
    {"name": "image-3"},
    {"name": "None"},
    {"visibility": "shared"},
    {"visibility": "none"},
    {"is_public": "True"},
    {"is_public": "False"},
    {"is_public": "None"},
    {"color": "red"},
    {"color": "None"},
    {"status": "queued"},
    {"disk_format": "ami"},
    {"os_hidden": "True"},
    {"property-owner_id": "nobody"},
    {"paginate": "True"},
    {"paginate": "False"},
    {"paginate": "None"},
    {"limit": "1"},
    {"sort_key": "secret"},
    {"sort_key": ""},
    {"sort_dir": "up"},
    {"marker": "nothing"},
)


@pytest.mark.parametrize("query", QUERIES, ids=str)
def test_lists(people: dict[str, Both], query: dict[str, str]) -> None:
    """Order, filters, Python's words and refusals, to their texts."""
    for person in people.values():
        person.same("GET", "images/", query=query)


def test_pages(people: dict[str, Both]) -> None:
    """Each page of each size, with what is said of the pages around it."""
    alice = people["alice"]
    for size in ("1", "3", "7", "5000", "x"):
        for order in ({}, {"sort_key": "name", "sort_dir": "asc"}):
            query: dict[str, str] = {"paginate": "true", **order}
            for _ in range(8):
                page = alice.same("GET", "images/", query=query, cookies={"API_RESULT_PAGE_SIZE": size})
                if not page["body"]["has_more_data"]:
                    break
                query["marker"] = page["body"]["items"][-1]["id"]


def test_one_image(people: dict[str, Both]) -> None:
    """Shown alone and by its properties, to its owner, an admin and strangers."""
    known = list(ids(people["alice"]).values())
    strange = ("nothing", "a%20b", "00000000-0000-4000-8000-000000000000")
    for name, person in people.items():
        for image in (*known, *strange) if name == "alice" else known[:2]:
            person.same("GET", f"images/{image}/")
            person.same("GET", f"images/{image}/properties/")


PUTS = (
    {"name": "x"},
    {"name": "x", "disk_format": "docker", "visibility": "shared", "min_disk": 3, "protected": False},
    {
        "name": "x",
        "disk_format": "ova",
        "is_public": True,
        "tags": ["a"],
        "properties": {"a": "b"},
        "hw_a": "1",
    },
    {"name": "x", "disk_format": "aki", "kernel": "k", "ramdisk": "r", "description": "", "min_ram": ""},
    {"name": "x", "visibility": "secret"},
    {"name": "x", "visibility": "public"},
    {"name": "x", "data": ""},
    {"name": "x", "os_hidden": True},
)
MADE = {"id", "created_at", "updated_at", "upload_url", "token_id", "file"}


def without(body: Any) -> Any:
    """Leave out what two images cannot have in common."""
    if not isinstance(body, dict):
        return body
    shown = {name: value for name, value in body.items() if name not in MADE}
    shown["properties"] = {name: value for name, value in body["properties"].items() if name not in MADE}
    return shown


@pytest.mark.parametrize("body", PUTS, ids=str)
def test_images_are_made_alike(people: dict[str, Both], body: dict[str, Any]) -> None:
    """By PUT, whatever a page says of them; and what is refused is refused in the same words."""
    alice = people["alice"]
    theirs, ours = alice.horizon("PUT", "images/", body=body), alice.ours("PUT", "images/", body=body)
    assert (ours["status"], without(ours["body"])) == (theirs["status"], without(theirs["body"]))
    assert ours["location"] == theirs["location"]
    for made in (theirs, ours):
        if made["status"] == 201:
            alice.same("GET", f"images/{made['body']['id']}/")
            assert alice.ours("DELETE", f"images/{made['body']['id']}/")["status"] == 204


def test_a_file_goes_by_itself(people: dict[str, Both]) -> None:
    """The direct mode: address and token are the same, but for the image's own id."""
    alice = people["alice"]
    body = {"name": "direct", "data": "disk.raw"}
    theirs, ours = alice.horizon("PUT", "images/", body=body), alice.ours("PUT", "images/", body=body)
    for said in (theirs, ours):
        assert said["body"]["upload_url"].endswith(f"/v2/images/{said['body']['id']}/file")
        assert said["body"]["token_id"]
        alice.ours("DELETE", f"images/{said['body']['id']}/")
    assert without(ours["body"]) == without(theirs["body"])


def test_a_form(people: dict[str, Both]) -> None:
    """The legacy mode. On purpose: ours is active when it answers, Horizon's is filled later by a thread."""
    alice = people["alice"]
    form = {"name": "formed", "disk_format": "raw", "hw_a": "1"}
    more = {"form": form, "files": {"data": ("d.raw", "bytes")}}
    theirs, ours = alice.horizon("POST", "images/", **more), alice.ours("POST", "images/", **more)
    later = {"status", "size", "checksum"}
    mine, other = without(ours["body"]), without(theirs["body"])
    for name in later:
        mine.pop(name), other.pop(name)
    for name in ("os_hash_algo", "os_hash_value", "stores"):
        mine["properties"].pop(name, None), other["properties"].pop(name, None)
    assert mine == other
    assert (
        (ours["status"], ours["location"])
        == (theirs["status"], theirs["location"])
        == (201, ours["location"])
    )
    assert (ours["body"]["status"], theirs["body"]["status"]) == ("active", "queued")
    for said in (theirs, ours):
        alice.ours("DELETE", f"images/{said['body']['id']}/")


CHANGES = (
    {"name": "renamed"},
    {"name": "x", "disk_format": "vhd", "min_ram": 5, "hw_b": "2", "is_public": True, "a/b": "c"},
    {"name": "x", "visibility": "public"},
    {"name": "x", "visibility": "secret"},
    {"name": None, "disk_format": None},
)
PROPERTIES = (
    {"updated": {"hw_c": "3", "color": "green"}, "removed": ["hw_b", "nothing"]},
    {"updated": {"os_hidden": "true"}, "removed": []},
    {"updated": {"os_hidden": "no"}, "removed": None},
    {"updated": {}, "removed": ["color", "color"]},
)


def test_changes(people: dict[str, Both]) -> None:
    """The same change by each, to twins: the same answer, and the same image afterwards."""
    alice = people["alice"]
    twins = [alice.ours("PUT", "images/", body={"name": "twin", "color": "red"})["body"]["id"] for _ in "ab"]
    for path, documents in (("", CHANGES), ("properties/", PROPERTIES)):
        for document in documents:
            theirs = alice.horizon("PATCH", f"images/{twins[0]}/{path}", body=document)
            ours = alice.ours("PATCH", f"images/{twins[1]}/{path}", body=document)
            assert ours == theirs, document
            one, other = (alice.ours("GET", f"images/{twin}/")["body"] for twin in twins)
            assert without(one) == without(other), document
    for person in (people["bob"], people["admin"]):
        for twin in twins:
            person.same("PATCH", f"images/{twin}/", body={"name": "z", "visibility": "public"})
    for twin in twins:
        alice.ours("DELETE", f"images/{twin}/")
        alice.same("DELETE", f"images/{twin}/")


def test_closing_and_opening(people: dict[str, Both]) -> None:
    """On purpose: Horizon answers 200 with its client's `[response, null]`; ours is 204, as for the rest."""
    admin, image = people["admin"], ids(people["alice"])["image-0"]
    for action, status in (("deactivate", "deactivated"), ("reactivate", "active")):
        for ask, expected in ((admin.horizon, (200, [[], None])), (admin.ours, (204, ""))):
            said = ask("POST", f"images/{image}/actions/{action}/")
            assert (said["status"], said["body"]) == expected
            assert admin.same("GET", f"images/{image}/")["body"]["status"] == status
    people["bob"].same("POST", f"images/{image}/actions/deactivate/")


def test_who_may_ask_and_how(people: dict[str, Both]) -> None:
    """401, 400 and their words, in the same order."""
    alice = people["alice"]
    for method, path in (
        ("GET", "images/"),
        ("GET", "version/"),
        ("PUT", "images/"),
        ("GET", "metadefs/namespaces/"),
    ):
        alice.same(method, path, token=None, body={"a": "b"})
        alice.same(method, path, token=None, ajax=False)
        alice.same(method, path, ajax=False, body={"a": "b"})
    alice.same("GET", "version/")
    for text in ("", "{}", "[]", "null", '""'):
        alice.same("PUT", "images/", text=text)
        alice.same("PATCH", "images/x/", text=text)
    for text in ("{", "{]", "nonsense"):
        theirs, ours = alice.horizon("PUT", "images/", text=text), alice.ours("PUT", "images/", text=text)
        assert ours["status"] == theirs["status"] == 400
        assert ours["body"].rstrip(".") == theirs["body"].partition(": line ")[0]


METADEFS = (
    {"resource_type": IMAGE},
    {"resource_type": FLAVOR},
    {"resource_type": SERVER, "properties_target": "metadata"},
    {"resource_type": SERVER, "properties_target": "metadata", "limit": "1"},
    {"resource_type": IMAGE, "sort_dir": "desc"},
    {"resource_type": IMAGE, "sort_key": "created_at", "sort_dir": "asc"},
    {"resource_type": IMAGE, "visibility": "public"},
    {"resource_type": IMAGE, "marker": "OS::Compute::Libvirt"},
    {"resource_type": IMAGE, "resource_types": FLAVOR},
)


@pytest.mark.parametrize("query", METADEFS, ids=str)
def test_definitions(people: dict[str, Both], query: dict[str, str]) -> None:
    """Whole namespaces, with names as they are on the type of resource."""
    for name in ("alice", "admin"):
        assert people[name].same("GET", "metadefs/namespaces/", query=query)["body"]["items"]


def test_pages_of_definitions(people: dict[str, Both]) -> None:
    """On purpose, backwards: Horizon takes `desc` for the way back, and says more where nothing is."""
    alice = people["alice"]
    query = {"resource_type": IMAGE, "paginate": "true"}
    for _ in range(20):
        page = alice.same("GET", "metadefs/namespaces/", query=query, cookies={"API_RESULT_PAGE_SIZE": "3"})
        if not page["body"]["has_more_data"]:
            break
        query["marker"] = page["body"]["items"][-1]["namespace"]
    assert page["body"]["has_prev_data"]


def test_types_of_resources(people: dict[str, Both]) -> None:
    """On purpose: Horizon shows the text of a Python generator; ours are the types."""
    alice = people["alice"]
    theirs = alice.horizon("GET", "metadefs/resourcetypes/")["body"]["items"]
    ours = alice.ours("GET", "metadefs/resourcetypes/")["body"]["items"]
    assert "generator" in theirs
    assert {IMAGE, FLAVOR} <= {each["name"] for each in ours}
    assert set(ours[0]) == {"name", "created_at", "updated_at"}


def test_what_is_500_there_is_a_sentence_here(people: dict[str, Both]) -> None:
    """On purpose: where Horizon fails, ours refuses with a 4xx, or answers."""
    alice = people["alice"]
    image = ids(alice)["image-1"]
    calls: tuple[tuple[str, str, dict[str, Any]], ...] = (
        ("PUT", "images/", {"body": {"name": 5}}),
        ("PUT", "images/", {"body": {"name": "x", "disk_format": "bogus"}}),
        ("PUT", "images/", {"body": [1]}),
        ("PATCH", f"images/{image}/", {"body": {"name": "x", "custom": 5}}),
        ("PATCH", f"images/{image}/properties/", {"body": {"removed": []}}),
        ("GET", "images/", {"query": {"is_public": "yes"}}),
        ("GET", "images/", {"query": {"sort_key": "None"}}),
        ("GET", "metadefs/namespaces/", {}),
        ("GET", "metadefs/namespaces/", {"query": {"resource_type": "nothing"}}),
        ("GET", "metadefs/namespaces/", {"query": {"resource_type": IMAGE, "sort_key": "secret"}}),
    )
    for method, path, more in calls:
        assert alice.horizon(method, path, **more)["status"] == 500, (method, path, more)
        assert alice.ours(method, path, **more)["status"] in {200, 400}, (method, path, more)


@pytest.mark.parametrize("name", ["alice", "admin"])
def test_images_are_shared_with_projects_not_with_text(people: dict[str, Both], name: str) -> None:
    """Names hold where Keystone tells the caller of them; else only an id is one, and the answer says so.

    Horizon has no such call; that a real Keystone decides is the same.
    """
    person, beta = people[name], people["bob"].project
    body = {"name": "to share", "visibility": "shared"}
    path = f"images/{person.ours('PUT', 'images/', body=body)['body']['id']}/"
    refused = {
        "alice": ["beta", "..", "alpha", person.project],
        "admin": ["nowhere", "..", "0" * 32, person.project],
    }
    for member in refused[name]:
        said = person.ours("POST", f"{path}members/", body={"member": member})
        assert (said["status"], type(said["body"])) == (400, str), member
        assert "give the project's ID instead" in said["body"] or "belongs to" in said["body"], member
    assert person.ours("GET", f"{path}members/")["body"]["items"] == []
    named = None if name == "alice" else "beta"
    wanted = beta if name == "alice" else "beta"
    added = person.ours("POST", f"{path}members/", body={"member": wanted})
    assert (added["status"], added["body"]["member_id"]) == (201, beta)
    for member in (added["body"], *person.ours("GET", f"{path}members/")["body"]["items"]):
        assert (member["member_id"], member["project_name"]) == (beta, named)
    offers = people["bob"].ours("GET", "offers/")["body"]["items"]
    offered = {each["id"]: each["owner_name"] for each in offers}
    assert offered[path.split("/")[1]] is None  # bob may not look up the projects of others
    assert person.ours("DELETE", path)["status"] == 204
