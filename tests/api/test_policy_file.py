"""An operator's own rules."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from inprocess import Prepared, Service, running
from tintype.settings import PolicySettings

OWN = "project_id:%(project_id)s"
HIDING = {"get_image": f"role:admin or {OWN}"}
"""Hides other projects' images, public ones too."""
CLOUD_ADMIN = {"context_is_admin": "role:cloud_admin"}


def obeying(prepared: Prepared, folder: Path, rules: dict[str, str]) -> Any:
    """Start a service with a policy file of these rules."""
    folder.mkdir(exist_ok=True)
    file = folder / "rules.yaml"
    file.write_text(yaml.safe_dump(rules))
    return running(prepared, folder, policy=PolicySettings(file=str(file)))


async def make(service: Service, who: str, **attributes: object) -> str:
    """Make an image; gives its path."""
    made = await service.call(who, "POST", "/v2/images", json=attributes)
    assert made.status_code == 201, made.text
    return f"/v2/images/{made.json()['id']}"


async def test_rules_of_a_file_win_over_the_defaults(prepared: Prepared, tmp_path: Path) -> None:
    """What it names is as it says, what it does not name is as before, and its helpers may be used."""
    rules = {"friends": "role:reader", "add_image": "rule:friends", "delete_image": "!"}
    async with obeying(prepared, tmp_path, rules) as service:
        made = await service.call("carol", "POST", "/v2/images", json={"name": "x"})
        assert made.status_code == 201
        path = f"/v2/images/{made.json()['id']}"
        assert (await service.call("admin", "DELETE", path)).status_code == 403
        assert (await service.call("carol", "PUT", f"{path}/tags/x")).status_code == 403
        assert (await service.call("bob", "DELETE", path)).status_code == 404


async def test_lists_leave_out_what_show_refuses(prepared: Prepared, tmp_path: Path) -> None:
    """A hidden image is in no list, and every page but the last is full, so clients read to the end."""
    async with obeying(prepared, tmp_path, HIDING) as service:
        for number in range(12):
            who = "bob" if number in {0, 5, 6} else "admin"
            visibility = "private" if who == "bob" else "public"
            await make(service, who, name=f"{number:02}", visibility=visibility)
        public = (await service.call("admin", "GET", "/v2/images?limit=1")).json()["images"][0]["id"]
        assert (await service.call("bob", "GET", f"/v2/images/{public}")).status_code == 404
        pages, path = [], "/v2/images?limit=2&sort=name:asc"
        while path:
            body = (await service.call("bob", "GET", path)).json()
            pages.append([image["name"] for image in body["images"]])
            path = body.get("next")
        assert pages == [["00", "05"], ["06"]]
        found = (await service.call("admin", "GET", "/v2/images?limit=5&sort=name:asc")).json()
        assert [image["name"] for image in found["images"]] == ["00", "01", "02", "03", "04"]


async def test_thousands_of_hidden_images_end_a_page_early(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One request reads so many at most; the way on is there all the same."""
    monkeypatch.setattr("tintype.services.paging._READS", 2)
    monkeypatch.setattr("tintype.services.paging._READ_ON", 3)
    async with obeying(prepared, tmp_path, HIDING) as service:
        for number in range(9):
            who = "bob" if number == 8 else "admin"
            visibility = "private" if who == "bob" else "public"
            await make(service, who, name=f"{number}", visibility=visibility)
        first = (await service.call("bob", "GET", "/v2/images?limit=1&sort=name:asc")).json()
        assert first["images"] == []
        second = (await service.call("bob", "GET", first["next"])).json()
        assert [image["name"] for image in second["images"]] == []
        third = (await service.call("bob", "GET", second["next"])).json()
        assert [image["name"] for image in third["images"]] == ["8"]


async def test_a_download_asks_its_own_rule(prepared: Prepared, tmp_path: Path) -> None:
    """Who may not see an image may have its bytes where the rule says so; both refusing hide it."""
    rules = {"get_image": "role:admin", "download_image": "role:member"}
    async with obeying(prepared, tmp_path, rules) as service:
        path = await make(
            service, "admin", visibility="public", disk_format="raw", container_format="bare", name="x"
        )
        binary = {"Content-Type": "application/octet-stream"}
        await service.call("admin", "PUT", f"{path}/file", content=b"abc", headers=binary)
        assert (await service.call("bob", "GET", path)).status_code == 404
        assert (await service.call("bob", "GET", f"{path}/file")).content == b"abc"
        assert (await service.call("carol", "GET", f"{path}/file")).status_code == 404


async def test_a_hidden_image_has_no_state_to_tell(prepared: Prepared, tmp_path: Path) -> None:
    """No refusal by what the image is comes before one that hides it."""
    async with obeying(prepared, tmp_path, HIDING) as service:
        path = await make(service, "admin", visibility="public", disk_format="raw", container_format="bare")
        imported = {"method": {"name": "glance-direct"}}
        patch = {"Content-Type": "application/openstack-images-v2.1-json-patch"}
        asked: list[tuple[str, str, dict[str, object]]] = [
            ("POST", f"{path}/import", {"json": imported}),
            ("POST", f"{path}/locations", {"json": {"url": "http://192.0.2.1/x"}}),
            ("GET", f"{path}/members", {}),
            ("PATCH", path, {"json": [], "headers": patch}),
            ("GET", f"{path}/tasks", {}),
        ]
        binary = {"Content-Type": "application/octet-stream"}
        await service.call("admin", "PUT", f"{path}/file", content=b"abc", headers=binary)
        await service.call("admin", "POST", f"{path}/actions/deactivate")
        for method, where, options in asked:
            answer = await service.call("bob", method, where, **options)
            assert answer.status_code == 404, f"{method} {where}: {answer.text}"


async def test_lists_of_parts_ask_the_rule_of_one(prepared: Prepared, tmp_path: Path) -> None:
    """Members, and what is in a namespace, are listed to those who may see a single one."""
    one = ("get_member", "get_metadef_object", "get_metadef_property", "get_metadef_tag")
    async with obeying(prepared, tmp_path, dict.fromkeys(one, "role:admin")) as service:
        path = await make(service, "alice")
        await service.call("alice", "POST", f"{path}/members", json={"member": service.projects["bob"]})
        space: dict[str, Any] = {
            "namespace": "n",
            "visibility": "public",
            "objects": [{"name": "o"}],
            "tags": [{"name": "t"}],
        }
        space["properties"] = {"p": {"title": "p", "type": "string"}}
        assert (await service.call("admin", "POST", "/v2/metadefs/namespaces", json=space)).status_code == 201
        for where, name in (
            (f"{path}/members", "members"),
            *((f"/v2/metadefs/namespaces/n/{kind}", kind) for kind in ("objects", "properties", "tags")),
        ):
            for who, count in (("alice", 0), ("admin", 1)):
                answer = await service.call(who, "GET", where)
                assert answer.status_code == 200, answer.text
                assert len(answer.json()[name]) == count, f"{who} {where}"


@pytest.mark.parametrize("rule", ["", "@"])
async def test_no_rule_opens_images_to_strangers(prepared: Prepared, tmp_path: Path, rule: str) -> None:
    """Files from before Glance had roles say that everybody may change and delete: the owner is meant."""
    names = ("modify_image", "delete_image", "upload_image", "deactivate", "reactivate", "get_image")
    async with obeying(prepared, tmp_path, dict.fromkeys(names, rule)) as service:
        path = await make(service, "admin", visibility="public", disk_format="raw", container_format="bare")
        binary = {"Content-Type": "application/octet-stream"}
        patch = {"Content-Type": "application/openstack-images-v2.1-json-patch"}
        change = [{"op": "add", "path": "/x", "value": "y"}]
        asked: list[tuple[str, str, dict[str, object]]] = [
            ("PATCH", path, {"json": change, "headers": patch}),
            ("PUT", f"{path}/tags/x", {}),
            ("PUT", f"{path}/file", {"content": b"abc", "headers": binary}),
            ("PUT", f"{path}/stage", {"content": b"abc", "headers": binary}),
            ("POST", f"{path}/actions/deactivate", {}),
            ("DELETE", path, {}),
        ]
        for method, where, options in asked:
            answer = await service.call("bob", method, where, **options)
            assert answer.status_code == 403, f"{method} {where}: {answer.text}"
        assert (await service.call("admin", "DELETE", path)).status_code == 204


async def test_nothing_without_a_project(prepared: Prepared, tmp_path: Path) -> None:
    """A token of no project may do nothing, even where a rule allows everybody everything."""
    rules = dict.fromkeys(("get_images", "add_image", "get_image"), "@")
    async with obeying(prepared, tmp_path, rules) as service:
        path = await make(service, "admin", visibility="public")
        token = await service.parts.identity.tokens.rescope(service.tokens["bob"], None)
        service.tokens["nowhere"] = token.value
        assert (await service.call("nowhere", "GET", "/v2/images")).status_code == 403
        assert (await service.call("nowhere", "POST", "/v2/images", json={})).status_code == 403
        assert (await service.call("nowhere", "GET", path)).status_code == 404


async def test_the_file_says_who_is_admin(prepared: Prepared, tmp_path: Path) -> None:
    """Over images, with the built-in identity too; users and projects stay with the role `admin`."""
    async with obeying(prepared, tmp_path, CLOUD_ADMIN) as service:
        path = await make(service, "alice")
        assert (await service.call("admin", "GET", path)).status_code == 404
        assert (await service.call("admin", "GET", "/identity/v3/users")).status_code == 200
    rules = {"context_is_admin": "role:member and not role:admin"}
    async with obeying(prepared, tmp_path / "other", rules) as service:
        path = await make(service, "alice")
        assert (await service.call("bob", "GET", path)).status_code == 200, "an admin over images"
        assert (await service.call("bob", "GET", "/identity/v3/users")).status_code == 403
