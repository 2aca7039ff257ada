"""Property protections: an operator's file says which roles may do what with which custom properties."""

from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Literal

import httpx2
import pytest

from inprocess import Prepared, Service, running
from tintype.errors import StartError
from tintype.policy.engine import Policy
from tintype.policy.properties import read_protections
from tintype.settings import PolicySettings

ROLES = """
[^license_]
create = admin
read = member
update = admin,member
delete = !
[^secret_]
create = admin,member
read = admin
update = admin
delete = admin
[.*]
create = @
read = @
update = @
delete = @
"""
RULES = """
[^license_]
create = vendors
read = @
update = vendors
delete = vendors
"""
PATCH = {"Content-Type": "application/openstack-images-v2.1-json-patch"}


async def patch(service: Service, who: str, image: str, *changes: dict[str, str]) -> int:
    answer = await service.call(who, "PATCH", f"/v2/images/{image}", json=list(changes), headers=PATCH)
    return answer.status_code


def started(
    prepared: Prepared, tmp_path: Path, text: str, kind: Literal["roles", "policies"] = "roles"
) -> AbstractAsyncContextManager[Service]:
    (tmp_path / "protections.conf").write_text(text)
    chosen = PolicySettings(property_file=str(tmp_path / "protections.conf"), property_rules=kind)
    return running(prepared, tmp_path, policy=chosen)


async def test_roles(prepared: Prepared, tmp_path: Path) -> None:
    """Creating, changing, removing and reading are allowed to the roles that the file names."""
    async with started(prepared, tmp_path, ROLES) as service:

        async def make(who: str, **body: str) -> httpx2.Response:
            return await service.call(who, "POST", "/v2/images", json=body)

        assert (await make("alice", license_key="x")).status_code == 403
        owner = service.projects["alice"]
        answer = await make("admin", license_key="x", other="y", secret_a="z", owner=owner)
        assert answer.status_code == 201
        image = answer.json()["id"]

        async def seen(who: str) -> dict[str, str]:
            shown = (await service.call(who, "GET", f"/v2/images/{image}")).json()
            listed = (await service.call(who, "GET", "/v2/images")).json()["images"][0]
            assert listed == shown
            return {name: shown[name] for name in ("license_key", "other", "secret_a") if name in shown}

        assert await seen("admin") == {"license_key": "x", "other": "y", "secret_a": "z"}
        assert await seen("alice") == {"license_key": "x", "other": "y"}
        assert await seen("carol") == {"other": "y"}
        change = {"op": "replace", "path": "/license_key", "value": "changed"}
        assert await patch(service, "alice", image, change) == 200
        assert await patch(service, "alice", image, {"op": "remove", "path": "/license_key"}) == 403
        assert await patch(service, "admin", image, {"op": "remove", "path": "/license_key"}) == 403
        assert await patch(service, "alice", image, {"op": "add", "path": "/license_b", "value": "b"}) == 403
        assert await seen("admin") == {"license_key": "changed", "other": "y", "secret_a": "z"}


async def test_what_may_not_be_read(prepared: Prepared, tmp_path: Path) -> None:
    """It is not there: it cannot be removed, replaced or filtered by, and outlives others' changes."""
    async with started(prepared, tmp_path, ROLES) as service:
        owner = service.projects["alice"]
        body = {"secret_a": "z", "owner": owner}
        image = (await service.call("admin", "POST", "/v2/images", json=body)).json()["id"]
        assert await patch(service, "alice", image, {"op": "remove", "path": "/secret_a"}) == 409
        assert (
            await patch(service, "alice", image, {"op": "replace", "path": "/secret_a", "value": "n"}) == 409
        )
        assert await patch(service, "alice", image, {"op": "add", "path": "/secret_a", "value": "n"}) == 403
        assert await patch(service, "alice", image, {"op": "add", "path": "/secret_b", "value": "n"}) == 200
        listed = (await service.call("alice", "GET", "/v2/images?secret_a=z")).json()["images"]
        assert listed == []
        assert len((await service.call("admin", "GET", "/v2/images?secret_a=z")).json()["images"]) == 1
        tag = await service.call("alice", "PUT", f"/v2/images/{image}/tags/t")
        assert tag.status_code == 204
        shown = (await service.call("admin", "GET", f"/v2/images/{image}")).json()
        assert (shown["secret_a"], shown["secret_b"], shown["tags"]) == ("z", "n", ["t"])


async def test_policy_rules(prepared: Prepared, tmp_path: Path) -> None:
    """With `policies` the values name rules of the policy file; what no section is about is nobody's."""
    (tmp_path / "policy.yaml").write_text('"vendors": "role:member and not role:admin"\n')
    (tmp_path / "protections.conf").write_text(RULES)
    chosen = PolicySettings(
        file=str(tmp_path / "policy.yaml"),
        property_file=str(tmp_path / "protections.conf"),
        property_rules="policies",
    )
    async with running(prepared, tmp_path, policy=chosen) as service:
        assert (await service.call("alice", "POST", "/v2/images", json={"license_a": "x"})).status_code == 201
        assert (await service.call("admin", "POST", "/v2/images", json={"license_a": "x"})).status_code == 403
        assert (await service.call("alice", "POST", "/v2/images", json={"other": "x"})).status_code == 403


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        ("[a]\ncreate = @\nread = @\nupdate = @\n", None),
        ("[a(]\ncreate = @\nread = @\nupdate = @\ndelete = @\n", None),
        ("[a]\ncreate = @ ; all\nread = @\nupdate = @\ndelete = @\n", None),
        ("[a]\ncreate = @,!\nread = @\nupdate = @\ndelete = @\n", None),
        ("[a]\ncreate = x,y\nread = @\nupdate = @\ndelete = @\n", Policy({"x": "", "y": ""})),
        ("[a]\ncreate = z\nread = @\nupdate = @\ndelete = @\n", Policy({"x": ""})),
        ("create = z\n", None),
        ("", None),
        ("[a]\ncreate = @\nread = @\nupdate = @\ndelete = @\nwrite = @\n", None),
    ],
)
def test_files_that_cannot_be_meant(text: str, policy: Policy | None) -> None:
    """They stop the start with a line that names the file."""
    with pytest.raises(StartError, match=r"protections\.conf"):
        read_protections(text, "protections.conf", policy)
