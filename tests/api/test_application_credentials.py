"""Application credentials of the built-in identity: logging in, and what ends them."""

import time
from typing import Any

import httpx2
import jwt
import pytest

from inprocess import PASSWORD, Service
from tintype.db.engine import now
from tintype.services import identity as identity_service
from tintype.services import passwords

V3 = "/identity/v3"
TOKENS = f"{V3}/auth/tokens"


@pytest.fixture(autouse=True)
def _untrusted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every token looked up each time: what these tests change must show at once."""
    monkeypatch.setattr("tintype.services.tokens._TRUSTED_SECONDS", 0)


FAR = ("9999-12-31T23:59:59-12:00",)
"""In UTC there is no such year."""


async def user_of(service: Service, token: str) -> str:
    """Return the id of a token's user."""
    return (await service.parts.identity.tokens.validate(token)).caller.user_id


async def create(service: Service, who: str = "alice", **body: object) -> httpx2.Response:
    token = service.tokens[who]
    url = f"{V3}/users/{await user_of(service, token)}/application_credentials"
    wished = {"name": "robot", **body}
    return await service.call(who, "POST", url, json={"application_credential": wished})


async def made(service: Service, who: str = "alice", **body: object) -> dict[str, Any]:
    answer = await create(service, who, **body)
    assert answer.status_code == 201, answer.text
    return dict(answer.json()["application_credential"])


async def log_in(service: Service, method: object, **auth: object) -> httpx2.Response:
    identity = {"methods": ["application_credential"], "application_credential": method}
    return await service.call(None, "POST", TOKENS, json={"auth": {"identity": identity, **auth}})


async def token_of(service: Service, credential: dict[str, Any]) -> str:
    answer = await log_in(service, {name: credential[name] for name in ("id", "secret")})
    assert answer.status_code == 201, answer.text
    return str(answer.headers["x-subject-token"])


async def status(service: Service, token: str, method: str = "GET", **options: object) -> int:
    answer = await service.call(None, method, "/v2/images", headers={"X-Auth-Token": token}, **options)
    return answer.status_code


async def test_a_program_logs_in(service: Service) -> None:
    """By id, by name and the user's id, by name and the user's name; the token says what it is of."""
    credential = await made(service, description="for the night")
    secret, alice = credential["secret"], credential["user_id"]
    assert credential["project_id"] == service.projects["alpha"]
    assert [role["name"] for role in credential["roles"]] == ["member", "reader"]
    assert (credential["unrestricted"], credential["expires_at"]) == (False, None)
    named = {"name": "robot", "secret": secret}
    domain = {"name": "Default"}
    for method in (
        {"id": credential["id"], "secret": secret},
        {**named, "user": {"id": alice}},
        {**named, "user": {"name": "alice", "domain": domain}},
        {"id": credential["id"], "secret": secret, "user": {"name": "bob", "domain": domain}},
    ):
        answer = await log_in(service, method)
        token = answer.json()["token"]
        assert (answer.status_code, token["methods"]) == (201, ["application_credential"])
        assert (token["user"]["name"], token["project"]["name"]) == ("alice", "alpha")
        assert token["application_credential"] == {
            "id": credential["id"],
            "name": "robot",
            "restricted": True,
        }
        assert await status(service, answer.headers["x-subject-token"]) == 200


async def test_wrong_logins(service: Service) -> None:
    """Wrong secrets, names and users are answered alike; a scope, and half a request, are refused."""
    credential = await made(service)
    right = {"id": credential["id"], "secret": credential["secret"]}
    alice = {"id": credential["user_id"]}
    answers = [
        await log_in(service, {**right, "secret": "wrong"}),
        await log_in(service, {**right, "id": "unknown"}),
        await log_in(service, {"name": "robot", "secret": "wrong", "user": alice}),
        await log_in(service, {"name": "other", "secret": credential["secret"], "user": alice}),
        await log_in(service, {"name": "robot", "secret": credential["secret"], "user": {"id": "nobody"}}),
    ]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.json()["error"]["message"] for answer in answers}) == 1
    scope = {"project": {"id": service.projects["alpha"]}}
    assert (await log_in(service, right, scope=scope)).status_code == 401
    for malformed in (
        {},
        5,
        {"id": credential["id"]},
        {"id": 5, "secret": "x"},
        {"name": "robot", "secret": "x"},
        {"name": "robot", "secret": "x", "user": {"name": "alice"}},
        {**right, "secret": ["x"]},
        {**right, "secret": "a\0b"},
    ):
        answer = await log_in(service, malformed)
        assert answer.status_code == 400, answer.text
        assert set(answer.json()["error"]) == {"code", "title", "message", "request_id"}


async def test_guessing_is_slowed_down(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """As for passwords, by id and by name together; the user's own password is not affected."""
    credential = await made(service)
    right = {"id": credential["id"], "secret": credential["secret"]}
    by_name = {"name": "robot", "secret": "wrong", "user": {"id": credential["user_id"]}}
    for guess in ({**right, "secret": "wrong"}, by_name, {**right, "secret": "wrong"}, by_name):
        assert (await log_in(service, guess)).status_code == 401
    refused = await log_in(service, right)
    assert (refused.status_code, "retry-after" in refused.headers) == (429, True)
    project = {"id": service.projects["alpha"]}
    own = {"user_id": credential["user_id"], "user_name": None, "password": PASSWORD, "project": project}
    await service.parts.identity.login(**own, address="127.0.0.1")
    later = now() + 60_000_001
    monkeypatch.setattr(passwords, "now", lambda: later)
    assert (await log_in(service, right)).status_code == 201


async def test_a_subset_of_the_roles(service: Service) -> None:
    """Named by id or name, with those they imply; nobody gets a role that the token does not have."""
    credential = await made(service, roles=[{"name": "reader"}])
    token = await token_of(service, credential)
    assert await status(service, token) == 200
    assert await status(service, token, "POST", json={}) == 403
    more = await made(service, "admin", name="more", roles=[{"id": "role-member"}])
    assert [role["name"] for role in more["roles"]] == ["member", "reader"]
    member = (await service.parts.identity.tokens.validate(await token_of(service, more))).caller
    assert (member.is_admin, member.roles) == (False, frozenset({"member", "reader"}))
    for wrong, code in (
        ([{"name": "admin"}], 400),
        ([{"id": "role-admin"}], 400),
        ([{"name": "king"}], 400),
        ([{"id": "role-king"}], 404),
        ([{}], 400),
        (["member"], 400),
        ({"name": "member"}, 400),
        ("member", 400),
    ):
        assert (await create(service, name="wrong", roles=wrong)).status_code == code


async def test_an_end(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token ends with its credential at the latest; then nobody logs in by it."""
    moment = time.time_ns() // 1000
    soon = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment // 1_000_000 + 600))
    credential = await made(service, expires_at=soon)
    assert credential["expires_at"] == f"{soon}.000000"
    answer = await log_in(service, {name: credential[name] for name in ("id", "secret")})
    assert answer.json()["token"]["expires_at"] == f"{soon}.000000Z"
    monkeypatch.setattr(identity_service, "now", lambda: moment + 600_000_000)
    expired = await log_in(service, {name: credential[name] for name in ("id", "secret")})
    assert expired.status_code == 401
    for form in ("2050-01-01T00:00:00Z", "2050-01-01T00:00:00.5+02:00", "2050-01-01T00:00:00"):
        assert (await create(service, name=form, expires_at=form)).status_code == 201
    for wrong in ("2020-01-01T00:00:00Z", "tomorrow", "0001-01-01T00:00:00+14:00", *FAR, 5, ""):
        assert (await create(service, name="wrong", expires_at=wrong)).status_code == 400


async def test_a_secret_is_shown_once_and_stored_as_a_hash(service: Service) -> None:
    """A client may choose it; it is in no later answer and not in the database."""
    chosen = await made(service, name="chosen", secret="a secret of mine")
    assert chosen["secret"] == "a secret of mine"
    generated = await made(service)
    assert len(generated["secret"]) >= 64
    url = f"{V3}/users/{chosen['user_id']}/application_credentials"
    listed = await service.call("alice", "GET", url)
    assert [each["name"] for each in listed.json()["application_credentials"]] == ["chosen", "robot"]
    named = (await service.call("alice", "GET", f"{url}?name=robot")).json()["application_credentials"]
    assert [each["id"] for each in named] == [generated["id"]]
    shown = await service.call("alice", "GET", f"{url}/{chosen['id']}")
    assert shown.json()["application_credential"]["name"] == "chosen"
    for answer in (listed, shown):
        assert "secret" not in answer.text
    for row in await service.parts.identity.application_credentials.list(chosen["user_id"]):
        assert row.secret_hash.startswith("$argon2id$")


async def test_names_are_a_users_own(service: Service) -> None:
    """One user has one of a name, another user may have the same; others' do not exist."""
    hers = await made(service)
    assert (await create(service)).status_code == 409
    his = await made(service, "bob")
    for who, other in (("bob", hers), ("alice", his)):
        own = await user_of(service, service.tokens[who])
        for method in ("GET", "DELETE"):
            url = f"{V3}/users/{own}/application_credentials/{other['id']}"
            assert (await service.call(who, method, url)).status_code == 404
    assert await status(service, await token_of(service, hers)) == 200


async def test_no_access_rules(service: Service) -> None:
    """Asking for some is refused, so that nobody takes a credential for restricted; none are none."""
    rules = [{"path": "/v2/images", "method": "GET", "service": "image"}]
    refused = await create(service, access_rules=rules)
    assert (refused.status_code, "access_rules" in refused.text) == (400, True)
    assert (await create(service, access_rules=[])).status_code == 201


async def test_a_token_of_one_is_of_one_project(service: Service) -> None:
    """It is not exchanged for another one, nor by a session of the dashboard."""
    await service.parts.identity.roles.grant("alice", "beta", "member")
    token = await token_of(service, await made(service, unrestricted=True))
    identity = {"methods": ["token"], "token": {"id": token}}
    for project in ("alpha", "beta"):
        body = {"auth": {"identity": identity, "scope": {"project": {"id": service.projects[project]}}}}
        assert (await service.call(None, "POST", TOKENS, json=body)).status_code == 403
    body = {"auth": {"identity": identity}}
    assert (await service.call(None, "POST", TOKENS, json=body)).status_code == 403


async def test_versions_that_know_no_credentials_refuse_their_tokens(service: Service) -> None:
    """While versions are mixed, a process that would take the token for the user's own gives 401."""
    token = await token_of(service, await made(service))
    with pytest.raises(jwt.InvalidAudienceError):
        jwt.decode(token, await service.parts.identity.tokens._signing_key(), algorithms=["HS256"])


async def test_what_ends_a_credential(service: Service) -> None:
    """Deleting it, its project or its user, and closing the account: for good, with its tokens."""
    identity, credential = service.parts.identity, await made(service)
    token, alice = await token_of(service, credential), credential["user_id"]
    method = {name: credential[name] for name in ("id", "secret")}
    url = f"{V3}/users/{alice}/application_credentials/{credential['id']}"
    assert (await service.call("alice", "DELETE", url)).status_code == 204
    assert (await service.call("alice", "DELETE", url)).status_code == 404
    assert await status(service, token) == 401
    assert (await log_in(service, method)).status_code == 401

    credential = await made(service)
    token, method = await token_of(service, credential), {name: credential[name] for name in ("id", "secret")}
    await identity.users.update("alice", enabled=False)
    assert await status(service, token) == 401
    await identity.users.update("alice", enabled=True)
    assert (await log_in(service, method)).status_code == 401
    assert await identity.application_credentials.list(alice) == []

    credential = await made(service, "bob")
    token, method = await token_of(service, credential), {name: credential[name] for name in ("id", "secret")}
    await identity.projects.update("beta", enabled=False)
    assert await status(service, token) == 401
    assert (await log_in(service, method)).status_code == 401
    await identity.projects.update("beta", enabled=True)
    assert await status(service, token) == 200
    await identity.projects.delete("beta")
    assert await status(service, token) == 401
    assert (await log_in(service, method)).status_code == 401

    credential = await made(service, "carol")
    token, method = await token_of(service, credential), {name: credential[name] for name in ("id", "secret")}
    await identity.users.delete("carol")
    assert await status(service, token) == 401
    assert (await log_in(service, method)).status_code == 401


async def test_what_a_credential_outlives(service: Service) -> None:
    """A new password ends its tokens only; a role withdrawn counts until it is granted again."""
    identity, credential = service.parts.identity, await made(service)
    token, method = await token_of(service, credential), {name: credential[name] for name in ("id", "secret")}
    await identity.users.update("alice", password="another")
    assert await status(service, token) == 401
    token = await token_of(service, credential)
    assert await status(service, token, "POST", json={}) == 201
    await identity.roles.grant("alice", "alpha", "admin")
    assert not (await identity.tokens.validate(token)).caller.is_admin
    await identity.roles.revoke("alice", "alpha", "admin")
    await identity.roles.grant("alice", "alpha", "reader")
    await identity.roles.revoke("alice", "alpha", "member")
    assert await status(service, token) == 200
    assert await status(service, token, "POST", json={}) == 403
    await identity.roles.revoke("alice", "alpha", "reader")
    assert await status(service, token) == 401
    assert (await log_in(service, method)).status_code == 401
    await identity.roles.grant("alice", "alpha", "service")
    assert await status(service, token) == 401  # a role that the credential does not have
    await identity.roles.grant("alice", "alpha", "member")
    assert await status(service, token, "POST", json={}) == 201
