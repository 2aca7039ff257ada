"""Policy files: a Glance and a Tintype that obey the same one give the same answers to everybody."""

import itertools
import os
import re
import time
from pathlib import Path

import httpx2
import msgspec
import pytest
import yaml

from glance import Glance
from guarded import CALLERS, IMAGES, Send, World
from inprocess import Prepared
from tintype.policy.engine import Policy
from tintype.policy.rules import DEFAULTS, SERVED
from twins import senders, tintype

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "policy.md"
YOUNGER = itertools.count()
OWN, OPEN = "project_id:%(project_id)s", "'public':%(visibility)s or 'community':%(visibility)s"
WRITES = ("add_", "modify_", "delete_", "remove_", "upload_", "set_", "publicize_", "communitize_", "deact")
CLOUD: dict[str, str] = {
    **dict.fromkeys(SERVED, "rule:editor"),
    "context_is_admin": "role:cloud_image_admin",
    "admin": "rule:context_is_admin",
    "editor": f"rule:admin or role:image_admin and {OWN}",
    "viewer": f"rule:editor or role:image_viewer and ({OWN} or project_id:%(member_id)s or {OPEN})",
    **dict.fromkeys(("get_image", "download_image", "get_members", "get_metadef_namespace"), "rule:viewer"),
    "get_images": "role:image_viewer or rule:editor",
    "get_member": f"rule:editor or role:image_viewer and {OWN}",
    "modify_member": "rule:admin or role:image_viewer and project_id:%(member_id)s",
    "publicize_image": "rule:admin",
    "tasks_api_access": "rule:admin or role:image_admin",
    "fetch_image_location": "rule:service_api",
    "service_api": "role:service",
}
"""Roles of its own, as clouds have them, and nothing for those of Keystone."""
EVERYTHING = {**dict.fromkeys(SERVED, "@"), "context_is_admin": "role:admin"}
SYSTEM = "role:reader and system_scope:all"


class Case(msgspec.Struct, frozen=True):
    """A policy file, and who and what is looked at under it."""

    rules: dict[str, str]
    callers: tuple[str, ...] = tuple(CALLERS)
    images: tuple[str, ...] = IMAGES
    spaces: tuple[str, ...] = ("open",)


PEOPLE = ("reader", "other", "admin", "owner")
CASES = {
    "default": Case({}),
    "cloud": Case(CLOUD, ("service", *PEOPLE), ("own", "shared", "public")),
    "nothing": Case(dict.fromkeys(SERVED, "!"), PEOPLE, ("own", "public")),
    "everything": Case(EVERYTHING, images=("own", "public")),
    "hiding": Case({"get_image": f"role:admin or {OWN}"}, PEOPLE, spaces=("closed",)),
    "scope": Case(
        {
            name: SYSTEM if name.startswith(WRITES) else f"({default}) or ({SYSTEM})"
            for name, default in SERVED.items()
            if name not in {"context_is_admin", "service_api", "metadef_default"}
        },
        ("system", "reader", "other", "owner"),
        ("own", "public"),
    ),
}


def obey(rules: dict[str, str], policy: Policy, peer: Glance | None = None) -> None:
    """Have both obey other rules.

    A Glance reads the file again when it is younger, and holds on to rules that are no longer in it.
    """
    Policy.__init__(policy, DEFAULTS | rules)
    if peer is not None:
        file = peer.folder / "policy.yaml"
        file.write_text(yaml.safe_dump(rules))
        moment = time.time() + next(YOUNGER)
        os.utime(file, (moment, moment))


async def answers(send: Send, world: World) -> dict[tuple[str, ...], str]:
    """Have everybody ask everything; gives what was answered by caller, image, route and what."""
    return {
        (caller, about, each.route, each.what): world.told(
            await send(caller, each.method, each.path, **each.options), each
        )
        for caller in world.callers
        for about, each in world.requests(caller)
    }


def reason(
    key: tuple[str, ...], mine: str, theirs: dict[tuple[str, ...], str], rules: dict[str, str]
) -> str | None:
    """Say why we answer otherwise on purpose (docs/explanation/differences.md); None for no reason."""
    caller, about, _route, _what = key
    seen = theirs.get((caller, about, "GET /v2/images/{id}", ""))
    if mine == "404" and seen == "404":
        return "an image that get_image hides does not exist, whatever its state"
    if mine == "403" and rules == EVERYTHING and caller in {"other", "service"}:
        return "whether the caller owns the image is asked first, not when it is saved"
    return None


@pytest.mark.needs("glance")
@pytest.mark.xdist_group("glance")
@pytest.mark.parametrize("prepared", ["sqlite"], indirect=True)
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_a_glance_answers_the_same(
    case: Case, peer: Glance, prepared: Prepared, tmp_path: Path
) -> None:
    """Each route, caller and visibility, with an operator's file, and first without one."""
    world, complete = World(case.callers, case.images, case.spaces), SERVED if case.rules else {}
    async with tintype(prepared, tmp_path) as (made, client):
        with httpx2.Client(base_url=peer.url, timeout=60) as connection:
            ours, theirs = senders(client, connection)
            obey(complete, made.policy, peer)
            for send in (ours, theirs):
                await world.make(send)
            obey(complete | case.rules, made.policy, peer)
            mine, others = await answers(ours, world), await answers(theirs, world)
    differences = {
        key: (answer, others[key])
        for key, answer in mine.items()
        if answer != others[key] and reason(key, answer, others, case.rules) is None
    }
    assert not differences, "\n".join(f"{' '.join(key)}: {both}" for key, both in differences.items())


def documented() -> dict[str, list[str]]:
    """Read the rules of each route from the documentation."""
    found: dict[str, list[str]] = {}
    for route, rules in re.findall(r"^\| `([A-Z]+ /[^`]+)` \| ([^|]*) \|", PAGE.read_text(), re.MULTILINE):
        found[route] = re.findall(r"`(\w+)`", rules)
    return found


@pytest.mark.needs("time")
@pytest.mark.parametrize("prepared", ["sqlite"], indirect=True)
async def test_the_documented_rules_are_asked(prepared: Prepared, tmp_path: Path) -> None:
    """Where all rules allow and one refuses, those routes answer otherwise that are said to ask it."""
    async with tintype(prepared, tmp_path) as (made, client):
        ours, _ = senders(client, client)
        seen: dict[str, set[str]] = {route: set() for route in documented()}
        seen["PATCH /v2/images/{id}"].add("delete_image_location")  # the last one stays, whoever asks
        allowed: dict[tuple[str, ...], str] = {}
        for refused in ("", *SERVED):
            world = World(("owner",), ("shared",), ("open",))
            obey({}, made.policy)
            await world.make(ours)
            obey(EVERYTHING | ({refused: "!"} if refused else {}), made.policy)
            found = await answers(ours, world)
            allowed = allowed or found
            for key, answer in found.items():
                if answer != allowed[key] and key[3] != "deactivated":
                    seen[key[2]].add(refused)
    assert {route: sorted(rules) for route, rules in documented().items()} == {
        route: sorted(rules) for route, rules in seen.items()
    }
