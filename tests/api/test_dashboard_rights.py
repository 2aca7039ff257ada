"""The rights of the caller that the dashboard gets: the policy's decisions for each image."""

from pathlib import Path
from typing import Any

import pytest

from browsing import Browser, browser
from inprocess import Prepared, Service, running
from tintype.settings import ImportSettings, PolicySettings

OWNERS = {
    *("modify", "delete", "upload", "import", "download"),
    *("deactivate", "reactivate", "share", "unshare"),
}
PROTECTIONS = """
[^license_]
create = @
read = @
update = admin
delete = admin
[^kept_]
create = @
read = @
update = @
delete = !
[.*]
create = @
read = @
update = @
delete = @
"""


async def rights(person: Browser, image_id: str) -> dict[str, Any]:
    """Return what the page is told of an image, alone and in the list, which must be the same."""
    shown: dict[str, Any] = (await person.get(f"images/{image_id}/?rights=True"))["rights"]
    listed = (await person.get("images/?rights=True&visibility=all"))["items"]
    assert shown in [image["rights"] for image in listed if image["id"] == image_id]
    return shown


async def test_rights_are_told_only_where_they_are_asked_for(service: Service) -> None:
    """Pages written for Horizon get exactly what Horizon answers."""
    alice = await browser(service, "alice")
    image = await alice.make()
    for answer in (
        image,
        await alice.get(f"images/{image['id']}/"),
        (await alice.get("images/"))["items"][0],
    ):
        assert not {"rights", "owner_name"} & answer.keys()
    assert "rights" not in (await alice.get("metadefs/namespaces/"))["items"][0]


async def test_what_each_person_may_do(service: Service) -> None:
    """Owner, reader, admin and another project's member, by the default rules."""
    people = {name: await browser(service, name) for name in ("alice", "carol", "bob", "admin")}
    image = (await people["admin"].make(visibility="public"))["id"]
    own = (await people["alice"].make())["id"]
    seen = {name: await rights(person, image) for name, person in people.items()}
    assert seen["alice"]["actions"] == seen["bob"]["actions"] == ["download"]
    assert seen["alice"]["visibilities"] == []
    assert seen["carol"]["actions"] == []
    assert {*OWNERS, "copy", "delete_copy", "cache"} <= set(seen["admin"]["actions"])
    assert seen["admin"]["visibilities"] == ["private", "shared", "community", "public"]
    mine = await rights(people["alice"], own)
    assert set(mine["actions"]) == OWNERS
    assert mine["visibilities"] == ["private", "shared", "community"]
    assert (await rights(people["carol"], own))["actions"] == []


async def test_what_each_person_may_do_without_an_image(service: Service) -> None:
    """The session says whether images can be made, how visible, and what of the service can be changed."""
    found = {name: (await browser(service, name)).session["rights"] for name in ("alice", "carol", "admin")}
    assert found["alice"] == {
        "create": True,
        "visibilities": ["private", "shared", "community"],
        "cache": False,
        "clear_cache": False,
        "create_definitions": False,
    }
    assert (found["carol"]["create"], found["carol"]["visibilities"]) == (False, [])
    assert found["admin"]["visibilities"] == ["private", "shared", "community", "public"]
    assert found["admin"]["cache"] is found["admin"]["create_definitions"] is True


async def test_a_policy_file_decides_not_the_names_of_roles(prepared: Prepared, tmp_path: Path) -> None:
    """What an operator's rules allow is offered, and what they refuse is not, to admins either."""
    file = tmp_path / "rules.yaml"
    file.write_text(
        'publicize_image: "role:member"\ncommunitize_image: "!"\ndelete_image: "!"\ncopy_image: "@"\n'
        'modify_metadef_namespace: "role:member"\ncache_list: "role:reader"\n'
        "add_image: \"role:reader and not 'shared':%(visibility)s\"\n"
    )
    async with running(prepared, tmp_path, policy=PolicySettings(file=str(file))) as service:
        alice, carol, admin = [await browser(service, name) for name in ("alice", "carol", "admin")]
        image = (await alice.make())["id"]
        told = await rights(alice, image)
        assert told["visibilities"] == ["private", "shared", "public"]
        assert set(told["actions"]) == OWNERS - {"delete"} | {"copy"}
        assert "delete" not in (await rights(admin, image))["actions"]
        assert alice.session["rights"]["visibilities"] == ["private", "public"]
        assert alice.session["rights"]["cache"] is True
        assert carol.session["rights"]["visibilities"] == ["private"]
        assert (await carol.make())["status"] == "queued"
        namespaces = (await alice.get("metadefs/namespaces/?rights=True"))["items"]
        assert {tuple(each["rights"]) for each in namespaces} == {("modify",)}


@pytest.mark.parametrize("path", ["", "properties/"])
async def test_what_is_offered_is_taken(service: Service, path: str) -> None:
    """Every visibility that is offered can be given, and no other."""
    alice = await browser(service, "alice")
    image = (await alice.make())["id"]
    offered = (await rights(alice, image))["visibilities"]
    for visibility in ("shared", "community", "public", "private"):
        said = {"visibility": visibility, "name": "disk"}
        body = said if not path else {"updated": said, "removed": []}
        answer = await alice.send("PATCH", f"images/{image}/{path}", json=body)
        assert (answer.status_code == 204) == (visibility in offered), visibility


async def test_protected_properties(prepared: Prepared, tmp_path: Path) -> None:
    """Those that the caller may not change or remove are named."""
    (tmp_path / "protections.conf").write_text(PROTECTIONS)
    policy = PolicySettings(property_file=str(tmp_path / "protections.conf"))
    async with running(prepared, tmp_path, policy=policy) as service:
        alice, admin = await browser(service, "alice"), await browser(service, "admin")
        image = (await alice.make(license_key="x", kept_by="y", free="z"))["id"]
        told = await rights(alice, image)
        assert (told["cannot_change"], told["cannot_remove"]) == (["license_key"], ["license_key", "kept_by"])
        assert (await rights(admin, image))["cannot_change"] == []


async def test_offers_say_from_whom(service: Service) -> None:
    """With the project's name, its answer and nothing of what is not offered to it."""
    alice, bob, admin = [await browser(service, name) for name in ("alice", "bob", "admin")]
    images = [(await alice.make(name=name, visibility="shared"))["id"] for name in ("one", "two", "gone")]
    for image in images:
        assert (
            await alice.send("POST", f"images/{image}/members/", json={"member": "beta"})
        ).status_code == 201
    beta = service.projects["beta"]
    assert (
        await bob.send("PUT", f"images/{images[1]}/members/{beta}/", json={"status": "accepted"})
    ).is_success
    closed = {"updated": {"visibility": "private"}, "removed": []}
    assert (await alice.send("PATCH", f"images/{images[2]}/properties/", json=closed)).status_code == 204
    offers = (await bob.get("offers/"))["items"]
    told = [(each["name"], each["owner_name"], each["owner"], each["member_status"]) for each in offers]
    alpha = service.projects["alpha"]
    assert told == [("one", "alpha", alpha, "pending"), ("two", "alpha", alpha, "accepted")]
    for person in (alice, admin):
        assert (await person.get("offers/"))["items"] == []
    assert (await bob.get(f"images/{images[0]}/?rights=True"))["owner_name"] == "alpha"
    members = (await alice.get(f"images/{images[0]}/members/"))["items"]
    assert [(each["member_id"], each["project_name"]) for each in members] == [(beta, "beta")]


async def test_an_image_is_not_shared_with_its_own_project(service: Service) -> None:
    """Neither by name nor by id; the refusal says why, and no member is stored."""
    alice = await browser(service, "alice")
    image = (await alice.make(visibility="shared"))["id"]
    for own in ("alpha", service.projects["alpha"]):
        answer = await alice.send("POST", f"images/{image}/members/", json={"member": own})
        assert (answer.status_code, "belongs to" in answer.json()) == (400, True)
    assert (await alice.get(f"images/{image}/members/"))["items"] == []


async def test_tasks_name_their_images(prepared: Prepared, tmp_path: Path) -> None:
    """With the status that the image has now; of an image that is gone only the id is left."""
    loopback = ImportSettings(allowed_networks=("127.0.0.0/8",))
    async with running(prepared, tmp_path, imports=loopback) as service:
        alice = await browser(service, "alice")
        image = await alice.make(name="debian-12")
        method = {"name": "web-download", "uri": "http://127.0.0.1/disk"}
        path = f"images/{image['id']}/"
        assert (await alice.send("POST", f"{path}import/", json={"method": method})).status_code == 204
        for found in ((await alice.get("tasks/"))["items"], (await alice.get(f"{path}tasks/"))["items"]):
            assert [(task["image_name"], task["image_status"]) for task in found] == [
                ("debian-12", "importing")
            ]
        one = await alice.get(f"tasks/{found[0]['id']}/")
        assert (one["image_name"], one["input"]["import_req"]["method"]) == ("debian-12", method)
        assert (await alice.send("DELETE", path)).status_code == 204
        left = (await alice.get("tasks/"))["items"]
        assert [task["image_name"] for task in left] in ([], [None])


@pytest.mark.parametrize("path", ["/", "/dashboard"])
async def test_the_way_to_the_page_holds_below_any_prefix(service: Service, path: str) -> None:
    """A front server that serves us below /images/ strips that: an absolute path would lead elsewhere."""
    answer = await service.client.get(path, headers={"Accept": "text/html"})
    assert answer.headers["location"] == "dashboard/"
