"""Random sequences of requests by three callers in two projects, against a model of the rules.

The model is a second, naive reading of the rules: dictionaries and loops. Whatever it says a
caller sees, and whichever status it expects, the service must answer.
"""

import asyncio
import dataclasses
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from inprocess import Prepared, Service, running

CALLERS = st.sampled_from(["alice", "bob", "carol"])
PROJECT = {"alice": "alpha", "carol": "alpha", "bob": "beta"}
WRITERS = {"alice", "bob"}
VISIBILITIES = st.sampled_from(["private", "shared", "community", "public"])
NAMES = st.sampled_from(["a", "b", None])
TAGS = st.sampled_from(["x", "y"])
KEYS = st.sampled_from(["p", "q"])
PATCH = {"Content-Type": "application/openstack-images-v2.1-json-patch"}


@dataclasses.dataclass
class Modelled:
    """An image as the model knows it."""

    owner: str
    name: str | None
    visibility: str
    number: int
    tags: set[str] = dataclasses.field(default_factory=set)
    properties: dict[str, str] = dataclasses.field(default_factory=dict)
    members: dict[str, str] = dataclasses.field(default_factory=dict)
    protected: bool = False
    hidden: bool = False

    def seen_by(self, who: str) -> bool:
        mine = PROJECT[who]
        shared = self.visibility == "shared" and mine in self.members
        return self.owner == mine or self.visibility in {"community", "public"} or shared

    def listed_for(self, who: str) -> bool:
        mine = PROJECT[who]
        accepted = self.visibility == "shared" and self.members.get(mine) == "accepted"
        return not self.hidden and (self.owner == mine or self.visibility == "public" or accepted)

    def changed_by(self, who: str) -> int:
        """Give the status that a change by somebody gets if nothing else stands against it."""
        if not self.seen_by(who):
            return 404
        return 200 if self.owner == PROJECT[who] and who in WRITERS else 403


class Images(RuleBasedStateMachine):
    """Requests and what the model makes of them."""

    images = Bundle("images")
    send: Callable[..., httpx2.Response]
    projects: dict[str, str]

    @initialize()
    def begin(self) -> None:
        self.model: dict[str, Modelled] = {}
        self.made = 0
        for image in self.send("admin", "GET", "/v2/images?visibility=all&limit=1000").json()["images"]:
            self.send(
                "admin",
                "PATCH",
                f"/v2/images/{image['id']}",
                content=REPLACE("protected", "false"),
                headers=PATCH,
            )
            self.send("admin", "DELETE", f"/v2/images/{image['id']}")

    @rule(target=images, who=CALLERS, name=NAMES, visibility=VISIBILITIES)
    def create(self, who: str, name: str | None, visibility: str) -> Any:
        response = self.send(who, "POST", "/v2/images", json={"name": name, "visibility": visibility})
        if who not in WRITERS or visibility == "public":
            assert response.status_code == 403
            return multiple()
        assert response.status_code == 201
        self.made += 1
        image = response.json()
        self.model[image["id"]] = Modelled(PROJECT[who], name, visibility, self.made)
        return image["id"]

    @rule(image=images, who=CALLERS, name=NAMES)
    def rename(self, image: str, who: str, name: str | None) -> None:
        if self._patch(image, who, [{"op": "replace", "path": "/name", "value": name}]):
            self.model[image].name = name

    @rule(image=images, who=CALLERS, flag=st.sampled_from(["protected", "os_hidden"]), value=st.booleans())
    def set_flag(self, image: str, who: str, flag: str, value: bool) -> None:
        if self._patch(image, who, [{"op": "replace", "path": f"/{flag}", "value": value}]):
            setattr(self.model[image], "hidden" if flag == "os_hidden" else flag, value)

    @rule(image=images, who=CALLERS, visibility=VISIBILITIES)
    def change_visibility(self, image: str, who: str, visibility: str) -> None:
        expected = self.model[image].changed_by(who)
        if visibility == "public" and expected == 200:
            expected = 403
        if self._patch(image, who, [{"op": "replace", "path": "/visibility", "value": visibility}], expected):
            self.model[image].visibility = visibility

    @rule(image=images)
    def publish(self, image: str) -> None:
        body = [{"op": "replace", "path": "/visibility", "value": "public"}]
        assert self.send("admin", "PATCH", f"/v2/images/{image}", json=body, headers=PATCH).status_code == 200
        self.model[image].visibility = "public"

    @rule(image=images, who=CALLERS, op=st.sampled_from(["add", "replace", "remove"]), key=KEYS)
    def change_property(self, image: str, who: str, op: str, key: str) -> None:
        properties = self.model[image].properties
        expected = self.model[image].changed_by(who)
        if expected == 200 and op != "add" and key not in properties:
            expected = 409
        if self._patch(image, who, [{"op": op, "path": f"/{key}", "value": who}], expected):
            if op == "remove":
                del properties[key]
            else:
                properties[key] = who

    @rule(image=images, who=CALLERS, tag=TAGS)
    def tag(self, image: str, who: str, tag: str) -> None:
        expected = self.model[image].changed_by(who)
        response = self.send(who, "PUT", f"/v2/images/{image}/tags/{tag}")
        assert response.status_code == (204 if expected == 200 else expected)
        if expected == 200:
            self.model[image].tags.add(tag)

    @rule(image=images, who=CALLERS, tag=TAGS)
    def untag(self, image: str, who: str, tag: str) -> None:
        expected = self.model[image].changed_by(who)
        if expected == 200:
            expected = 204 if tag in self.model[image].tags else 404
        assert self.send(who, "DELETE", f"/v2/images/{image}/tags/{tag}").status_code == expected
        if expected == 204:
            self.model[image].tags.discard(tag)

    @rule(image=images, who=CALLERS, project=st.sampled_from(["alpha", "beta"]))
    def share(self, image: str, who: str, project: str) -> None:
        modelled = self.model[image]
        expected = modelled.changed_by(who)
        if expected != 404 and modelled.visibility != "shared":
            expected = 403
        if expected == 200 and project in modelled.members:
            expected = 409
        body = {"member": self.projects[project]}
        assert self.send(who, "POST", f"/v2/images/{image}/members", json=body).status_code == expected
        if expected == 200:
            modelled.members[project] = "pending"

    @rule(image=images, who=CALLERS, status=st.sampled_from(["accepted", "rejected", "pending"]))
    def answer(self, image: str, who: str, status: str) -> None:
        modelled, mine = self.model[image], PROJECT[who]
        if not modelled.seen_by(who):
            expected = 404
        elif modelled.visibility != "shared":
            expected = 403
        elif mine not in modelled.members:
            expected = 404
        else:
            expected = 200 if who in WRITERS else 403
        path = f"/v2/images/{image}/members/{self.projects[mine]}"
        assert self.send(who, "PUT", path, json={"status": status}).status_code == expected
        if expected == 200:
            modelled.members[mine] = status

    @rule(image=images, who=CALLERS, project=st.sampled_from(["alpha", "beta"]))
    def end_sharing(self, image: str, who: str, project: str) -> None:
        modelled = self.model[image]
        owner = modelled.owner == PROJECT[who]
        if not modelled.seen_by(who):
            expected = 404
        elif modelled.visibility != "shared":
            expected = 403
        elif project not in modelled.members or not (owner or project == PROJECT[who]):
            expected = 404
        else:
            expected = 204 if owner and who in WRITERS else 403
        path = f"/v2/images/{image}/members/{self.projects[project]}"
        assert self.send(who, "DELETE", path).status_code == expected
        if expected == 204:
            del modelled.members[project]

    @rule(target=images, image=consumes(images), who=CALLERS)
    def delete(self, image: str, who: str) -> Any:
        modelled = self.model[image]
        expected = modelled.changed_by(who)
        if expected == 200:
            expected = 403 if modelled.protected else 204
        assert self.send(who, "DELETE", f"/v2/images/{image}").status_code == expected
        if expected != 204:
            return image
        del self.model[image]
        assert self.send(who, "GET", f"/v2/images/{image}").status_code == 404
        return multiple()

    @rule(image=images, who=CALLERS)
    def show(self, image: str, who: str) -> None:
        response = self.send(who, "GET", f"/v2/images/{image}")
        modelled = self.model[image]
        assert response.status_code == (200 if modelled.seen_by(who) else 404)
        if response.status_code == 200:
            self._compare(response.json(), modelled)

    @rule(who=CALLERS, name=NAMES, tag=TAGS, key=KEYS, size=st.integers(1, 3))
    def list_filtered_in_pages(self, who: str, name: str | None, tag: str, key: str, size: int) -> None:
        filters: dict[str, Callable[[Modelled], bool]] = {
            f"tag={tag}": lambda image: tag in image.tags,
            f"{key}=alice": lambda image: image.properties.get(key) == "alice",
            "visibility=community": everything,
            "visibility=all": everything,
        }
        if name is not None:
            filters[f"name={name}"] = lambda image: image.name == name
        for query, keeps in filters.items():
            self._check_list(who, query, keeps, size)

    @invariant()
    def lists_show_what_the_model_says(self) -> None:
        for who in PROJECT:
            self._check_list(who, "", everything, 1000)

    def _check_list(self, who: str, query: str, keeps: Callable[[Modelled], bool], size: int) -> None:
        expected = [
            image
            for image, modelled in self._newest_first()
            if self._lists(modelled, who, query) and keeps(modelled)
        ]
        found: list[dict[str, Any]] = []
        path = f"/v2/images?{query}&limit={size}"
        while path:
            page = self.send(who, "GET", path).json()
            found.extend(page["images"])
            path = page.get("next")
        assert [image["id"] for image in found] == expected
        for image in found:
            self._compare(image, self.model[image["id"]])

    @staticmethod
    def _lists(image: Modelled, who: str, query: str) -> bool:
        if query == "visibility=community":
            return not image.hidden and image.visibility == "community"
        if query == "visibility=all":
            return image.listed_for(who) or (not image.hidden and image.visibility == "community")
        return image.listed_for(who)

    def _newest_first(self) -> Iterator[tuple[str, Modelled]]:
        return iter(sorted(self.model.items(), key=lambda item: -item[1].number))

    def _compare(self, shown: dict[str, Any], modelled: Modelled) -> None:
        assert shown["name"] == modelled.name
        assert shown["owner"] == self.projects[modelled.owner]
        assert shown["visibility"] == modelled.visibility
        assert set(shown["tags"]) == modelled.tags
        assert {key: shown[key] for key in ("p", "q") if key in shown} == modelled.properties
        assert (shown["protected"], shown["os_hidden"]) == (modelled.protected, modelled.hidden)

    def _patch(self, image: str, who: str, body: Any, expected: int | None = None) -> bool:
        expected = expected or self.model[image].changed_by(who)
        response = self.send(who, "PATCH", f"/v2/images/{image}", json=body, headers=PATCH)
        assert response.status_code == expected, response.text
        return expected == 200


def everything(_image: Modelled) -> bool:
    """Keep every image."""
    return True


def REPLACE(name: str, value: str) -> bytes:  # noqa: N802 (a constant with holes)
    """Give a patch that replaces one attribute."""
    return f'[{{"op": "replace", "path": "/{name}", "value": {value}}}]'.encode()


def test_requests_and_rules_agree(prepared: Prepared, tmp_path: Path) -> None:
    """What callers see and may do follows from the rules, in whatever order things happen."""
    with ThreadPoolExecutor(1) as thread, asyncio.Runner() as runner:

        def in_loop(work: Callable[[], Any]) -> Any:
            return thread.submit(lambda: runner.run(work())).result()

        starting = running(prepared, tmp_path)
        service: Service = in_loop(starting.__aenter__)
        try:
            Images.send = staticmethod(
                lambda *request, **options: in_loop(lambda: service.call(*request, **options))
            )
            Images.projects = {"alpha": service.projects["alice"], "beta": service.projects["bob"]}
            Images.TestCase.settings = settings(
                max_examples=20,
                stateful_step_count=30,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            )
            result = Images.TestCase("runTest").run()
            assert result is not None
            for _, trace in (*result.errors, *result.failures):
                pytest.fail(trace)
            assert result.testsRun == 1
        finally:
            in_loop(starting.__aexit__)
