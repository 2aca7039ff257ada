"""Sharing by the names of projects: an image is shared with the project that is meant, or with none."""

import json
import uuid

import httpx2
import pytest

from answering import asking
from clouds import Cloud, run
from tintype.client import AsyncClient, Client, errors
from tintype.client.pyrax import ImageClient


def shown(cloud: Cloud, *arguments: str, who: str = "alice") -> dict[str, str]:
    return dict(json.loads(run(cloud, *arguments, "-f", "json", who=who)))


def test_a_name(cloud: Cloud) -> None:
    """The built-in identity tells everybody; Keystone administrators, and others their own projects."""
    image = shown(cloud, "image", "create", "by-name")["id"]
    who = "alice" if cloud.is_tintype else "admin"
    assert shown(cloud, "member", "add", image, "beta", who=who)["member_id"] == cloud.projects["beta"]
    run(cloud, "member", "remove", image, "beta", who=who)
    told = run(cloud, "member", "add", image, "no such project", who=who, code=1)
    assert "There is no project 'no such project'" in told
    assert run(cloud, "member", "list", image, "-f", "value") == ""
    run(cloud, "image", "delete", image)


def test_a_name_that_the_caller_may_not_look_up(cloud: Cloud) -> None:
    """Nothing is shared, and the text says what to do; an id is taken, and the name of one's own project."""
    if cloud.is_tintype:
        return  # which tells everybody
    image = shown(cloud, "image", "create", "by-id")["id"]
    told = run(cloud, "member", "add", image, "beta", code=1)
    assert "does not let you look up projects by name" in told
    assert "32 hexadecimal digits" in told
    assert run(cloud, "member", "list", image, "-f", "value") == ""
    beta = cloud.projects["beta"]
    assert shown(cloud, "member", "add", image, beta)["member_id"] == beta
    with Client(cloud="alice") as client:
        assert client.members.find_project("alpha") == cloud.projects["alpha"]
    run(cloud, "image", "delete", image)


@pytest.mark.parametrize("by", ["name", "id"])
@pytest.mark.parametrize("answer", ["accept", "reject"])
def test_an_answer(cloud: Cloud, by: str, answer: str) -> None:
    """A pending image is accepted, or rejected, by its name or id; so is one that was answered before."""
    name = f"answered-{uuid.uuid4().hex}"
    image = shown(cloud, "image", "create", name)["id"]
    run(cloud, "member", "add", image, cloud.projects["beta"])
    called = name if by == "name" else image
    for _ in range(2):
        assert shown(cloud, "member", answer, called, who="bob")["status"] == f"{answer}ed"
    run(cloud, "image", "delete", image)
    assert "is shared with this project" in run(cloud, "member", answer, name, who="bob", code=1)


def test_several_of_a_name(cloud: Cloud) -> None:
    """None is answered; the owner's own images of that name do not count."""
    name = f"twice-{uuid.uuid4().hex}"
    images = [shown(cloud, "image", "create", name)["id"] for _ in range(2)]
    own = shown(cloud, "image", "create", name, who="bob")["id"]
    run(cloud, "member", "add", images[0], cloud.projects["beta"])
    assert shown(cloud, "member", "accept", name, who="bob")["image_id"] == images[0]
    run(cloud, "member", "add", images[1], cloud.projects["beta"])
    assert "Several images" in run(cloud, "member", "reject", name, who="bob", code=1)
    for image in images:
        run(cloud, "image", "delete", image)
    run(cloud, "image", "delete", own, who="bob")


def test_a_member_that_is_no_project(cloud: Cloud) -> None:
    """Programs share with any text, as the API has it; the command takes such a member away."""
    with Client(cloud="alice") as client:
        image = client.images.create("any text")
        client.members.create(image.id, "some text")
    run(cloud, "member", "remove", image.id, "some text")
    assert run(cloud, "member", "list", image.id, "-f", "value") == ""
    run(cloud, "image", "delete", image.id)


def test_owners(cloud: Cloud) -> None:
    """`--owner` takes names, too: of lists, of what an administrator makes and changes."""
    beta = cloud.projects["beta"]
    made = shown(cloud, "image", "create", "given away", "--owner", "beta", who="admin")
    assert made["owner"] == beta
    listed = run(cloud, "image", "list", "--owner", "beta", "-f", "value", "-c", "id", who="admin")
    assert made["id"] in listed
    run(cloud, "image", "set", made["id"], "--owner", cloud.projects["alpha"], who="admin")
    assert shown(cloud, "image", "show", made["id"])["owner"] == cloud.projects["alpha"]
    told = run(cloud, "image", "create", "x", "--owner", "nobody at all", who="admin", code=1)
    assert "There is no project" in told
    run(cloud, "image", "delete", made["id"], who="admin")


async def test_programs(cloud: Cloud) -> None:
    """`find_project` and `find_shared` are there for programs, with every kind of login."""
    alpha = cloud.projects["alpha"]
    async with AsyncClient(cloud="alice") as client, AsyncClient(session=cloud.session("alice")) as other:
        assert await client.members.find_project("alpha") == alpha
        assert await other.members.find_project("alpha") == alpha
        with pytest.raises(errors.NotFound):
            await client.images.find_shared("no such image")
    api = ImageClient(cloud="alice").api
    assert api.members.find_project(alpha) == alpha
    api.close()


@pytest.mark.parametrize(
    ("name", "answers", "outcome"),
    [
        ("p", {"/v3/projects/p": 404, "/v3/projects": [{"id": "1", "name": "p"}]}, "1"),
        ("p", {"/v3/projects/p": 404, "/v3/projects": [{"id": "1", "name": "other"}]}, errors.NotFound),
        (
            "p",
            {"/v3/projects/p": 403, "/v3/projects": [{"id": i, "name": "p", "domain_id": i} for i in "12"]},
            errors.Conflict,
        ),
        ("p", {"/v3/projects/p": 403, "/v3/projects": 403, "/v3/auth/projects": []}, errors.Forbidden),
        (
            "p",
            {
                "/v3/projects/p": 403,
                "/v3/projects": 403,
                "/v3/auth/projects": [{"id": "1", "name": "p"}],
            },
            "1",
        ),
        ("a" * 32, {f"/v3/projects/{'a' * 32}": 403}, "a" * 32),
        ("a" * 32, {f"/v3/projects/{'a' * 32}": 404, "/v3/projects": []}, errors.NotFound),
        ("../x", {"/v3/projects/..%2Fx": 404, "/v3/projects": []}, errors.NotFound),
    ],
)
def test_every_answer_of_an_identity_service(
    name: str, answers: dict[str, object], outcome: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it refuses is not taken for a project."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        assert request.headers["x-auth-token"] == "t"
        found = answers[request.url.raw_path.decode().partition("?")[0]]
        if isinstance(found, int):
            return httpx2.Response(found, json={})
        if isinstance(found, dict):
            return httpx2.Response(200, json={"project": found})
        return httpx2.Response(200, json={"projects": found})

    from tintype.client.identity import Access

    with asking(answer) as client:
        access = Access("http://image", {"X-Auth-Token": "t"}, None, None, "http://identity")
        monkeypatch.setattr(client.transport, "access", lambda: access)
        if isinstance(outcome, str):
            assert client.members.find_project(name) == outcome
        else:
            with pytest.raises(outcome):  # type: ignore[call-overload]
                client.members.find_project(name)


def test_without_an_identity_service() -> None:
    """With a token only ids are taken; without one there is nobody to ask, and anything is."""
    with Client(endpoint="http://image", token="t") as client:
        assert client.members.find_project("a" * 32) == "a" * 32
        assert client.members.find_project(str(uuid.UUID(int=7))) == str(uuid.UUID(int=7))
        with pytest.raises(errors.BadRequest, match="32 hexadecimal digits"):
            client.members.find_project("beta")
    with Client(endpoint="http://image") as client:
        assert client.members.find_project("beta") == "beta"
