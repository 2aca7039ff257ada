"""The built-in identity: tokens, scopes, roles, and what guessing passwords meets."""

import asyncio
import base64
import datetime as dt
import json
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest

from inprocess import PASSWORD, Prepared, Service, running
from tintype.errors import Unauthenticated
from tintype.services import passwords
from tintype.services.tokens import Token
from tintype.settings import IdentitySettings

TOKENS = "/identity/v3/auth/tokens"


def login_body(name: str, password: str, project: str | None) -> dict[str, dict[str, object]]:
    user = {"name": name, "domain": {"id": "default"}, "password": password}
    auth: dict[str, object] = {"identity": {"methods": ["password"], "password": {"user": user}}}
    if project is not None:
        auth["scope"] = {"project": {"name": project, "domain": {"name": "Default"}}}
    return {"auth": auth}


async def login(
    service: Service, name: str, password: str = PASSWORD, project: str | None = "alpha"
) -> httpx2.Response:
    return await service.call(None, "POST", TOKENS, json=login_body(name, password, project))


async def test_a_token_has_what_clients_look_for(service: Service) -> None:
    """User, project, implied roles, times and a catalogue with the image service."""
    response = await login(service, "alice")
    assert response.status_code == 201
    token = response.json()["token"]
    assert token["user"]["name"] == "alice"
    assert token["project"] == {
        "id": service.projects["alice"],
        "name": "alpha",
        "domain": {"id": "default", "name": "Default"},
    }
    assert [role["name"] for role in token["roles"]] == ["member", "reader"]
    assert token["expires_at"] > token["issued_at"]
    urls = {entry["type"]: entry["endpoints"][0]["url"] for entry in token["catalog"]}
    assert urls == {"image": "http://testserver", "identity": "http://testserver/identity/v3"}
    claims = json.loads(base64.urlsafe_b64decode(response.headers["x-subject-token"].split(".")[1] + "=="))
    assert PASSWORD not in str(claims)


async def test_a_token_is_exchanged_for_another_scope(service: Service) -> None:
    """An unscoped token may not use images; in exchange for it there is one that may, and dies with it."""
    unscoped = await login(service, "alice", project=None)
    value = unscoped.headers["x-subject-token"]
    headers = {"X-Auth-Token": value}
    image = (await service.call("alice", "POST", "/v2/images", json={})).json()["id"]
    public = (await service.call("admin", "POST", "/v2/images", json={"visibility": "public"})).json()["id"]
    for shown in (image, public):  # as Glance: nothing is there for whoever is in no project
        for path in ("", "/file", "/members"):
            answer = await service.client.get(f"/v2/images/{shown}{path}", headers=headers)
            assert answer.status_code == 404
    assert (await service.client.get("/v2/images", headers=headers)).status_code == 403
    assert (await service.client.post("/v2/images", headers=headers, json={})).status_code == 403
    assert (await service.client.get("/v2/info/usage", headers=headers)).status_code == 200
    body = {
        "auth": {
            "identity": {"methods": ["token"], "token": {"id": value}},
            "scope": {"project": {"id": service.projects["alice"]}},
        }
    }
    scoped = await service.call(None, "POST", TOKENS, json=body)
    assert scoped.status_code == 201
    assert scoped.json()["token"]["expires_at"] == unscoped.json()["token"]["expires_at"]
    value = scoped.headers["x-subject-token"]
    assert (await service.client.get("/v2/images", headers={"X-Auth-Token": value})).status_code == 200


async def test_wrong_credentials_are_all_answered_alike(service: Service) -> None:
    """Wrong password, no such user, closed account: one message. No role in the project: 401 too."""
    await service.parts.identity.users.create("shut", PASSWORD)
    await service.parts.identity.users.update("shut", enabled=False)
    answers = [
        await login(service, *who) for who in (("alice", "wrong"), ("nobody", "x"), ("shut", PASSWORD))
    ]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.json()["error"]["message"] for answer in answers}) == 1
    assert (await login(service, "alice", project="beta")).status_code == 401
    assert (await login(service, "alice", project="nothing")).status_code == 401


async def test_an_unknown_user_takes_as_long_as_a_wrong_password(service: Service) -> None:
    """Who may log in cannot be learned by a watch: both cost one hash."""

    async def cost(name: str) -> float:
        times = []
        for _ in range(3):
            started = time.perf_counter()
            await login(service, name, "wrong")
            times.append(time.perf_counter() - started)
        return min(times)

    await login(service, "warm-up", "wrong")
    known, unknown = await cost("alice"), await cost("nobody")
    assert 0.3 < known / unknown < 3


async def test_guessing_is_slowed_down(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """After three failures a user must wait at this address, longer each time; others need not."""
    moment = time.time_ns() // 1000
    monkeypatch.setattr(passwords, "now", lambda: moment)
    for _ in range(3):
        assert (await login(service, "bob", "wrong", "beta")).status_code == 401
    assert (await login(service, "bob", "wrong", "beta")).status_code == 401
    waits = []
    for _ in range(4):
        refused = await login(service, "bob", PASSWORD, "beta")
        assert refused.status_code == 429
        waits.append(int(refused.headers["retry-after"]))
        moment += waits[-1] * 1_000_000 + 1
        assert (await login(service, "bob", "wrong", "beta")).status_code == 401
    assert waits == sorted(waits)
    assert waits[-1] > waits[0]
    assert (await login(service, "alice")).status_code == 201
    moment += 60_000_001
    assert (await login(service, "bob", PASSWORD, "beta")).status_code == 201
    assert (await login(service, "bob", "wrong", "beta")).status_code == 401


async def test_guesses_at_once_are_slowed_down_too(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of fifty guesses sent together a few are heard, and the right one behind them is not."""
    moment = time.time_ns() // 1000  # the delay of a second must not pass meanwhile on a busy machine
    monkeypatch.setattr(passwords, "now", lambda: moment)
    guesses = [login(service, "alice", f"wrong {number}") for number in range(50)]
    answers = await asyncio.gather(*guesses, login(service, "alice"))
    heard = [answer.status_code for answer in answers].count(401)
    assert heard <= 4
    assert answers[-1].status_code == 429


async def test_nobody_locks_somebody_else_out(service: Service) -> None:
    """Failures under other names, from the same address, do not delay a user."""
    await asyncio.gather(*(login(service, f"invented {number}", "x") for number in range(40)))
    assert (await login(service, "alice")).status_code == 201


async def test_a_password_changed_meanwhile_is_not_good_any_more(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A login with the old password that is under way when it changes gives no token."""
    identity = service.parts.identity
    verify = identity._passwords._hasher.verify

    async def slowly(stored: str | None, password: str) -> bool:
        matches = await verify(stored, password)
        await identity.users.update("alice", password="another")
        return matches

    monkeypatch.setattr(identity._passwords._hasher, "verify", slowly)
    assert (await login(service, "alice")).status_code == 401


async def test_a_password_that_changes_during_an_exchange(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends the old token, so none is given for it: that one would have been valid for hours."""
    identity = service.parts.identity
    validate = identity.tokens.validate

    async def changed_meanwhile(value: str) -> Token:
        token = await validate(value)
        await identity.users.update(token.caller.user_id, password="another secret")
        return token

    monkeypatch.setattr(identity.tokens, "validate", changed_meanwhile)
    with pytest.raises(Unauthenticated):
        await identity.tokens.rescope(service.tokens["alice"], None)


async def test_a_user_who_is_disabled_during_a_login(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no token for the password then, which would be valid once the user is enabled again."""
    identity = service.parts.identity
    check = identity._passwords.check

    async def disabled_meanwhile(*args: Any, **more: Any) -> bool:
        allowed = await check(*args, **more)
        await identity.users.update("alice", enabled=False)
        return allowed

    monkeypatch.setattr(identity._passwords, "check", disabled_meanwhile)
    assert (await login(service, "alice")).status_code == 401


async def test_revoking_ends_what_was_exchanged(service: Service) -> None:
    """A token and those that were exchanged for it end together."""
    first = (await login(service, "alice")).headers["x-subject-token"]
    identity = {"methods": ["token"], "token": {"id": first}}
    scope = {"project": {"id": service.projects["alice"]}}
    exchange = {"auth": {"identity": identity, "scope": scope}}
    second = (await service.call(None, "POST", TOKENS, json=exchange)).headers["x-subject-token"]
    assert (await service.client.get("/v2/images", headers={"X-Auth-Token": second})).status_code == 200
    own = {"X-Auth-Token": first, "X-Subject-Token": first}
    assert (await service.client.delete(TOKENS, headers=own)).status_code == 204
    assert (await service.client.get(TOKENS, headers={**own, "X-Auth-Token": second})).status_code in {
        401,
        404,
    }
    assert (await service.call(None, "POST", TOKENS, json=exchange)).status_code == 401


async def test_a_revoked_token_is_void_at_once(service: Service) -> None:
    """DELETE ends it, for the caller and for whoever holds a copy."""
    value = (await login(service, "alice")).headers["x-subject-token"]
    own = {"X-Auth-Token": value, "X-Subject-Token": value}
    assert (await service.client.get("/v2/images", headers=own)).status_code == 200
    assert (await service.client.head(TOKENS, headers=own)).status_code == 200
    assert (await service.client.delete(TOKENS, headers=own)).status_code == 204
    assert (await service.client.get("/v2/images", headers=own)).status_code == 401
    assert (await service.client.get(TOKENS, headers=own)).status_code == 401


async def test_only_admins_and_services_look_into_other_tokens(service: Service) -> None:
    """A user may see its own token; an admin any, and learns of a wrong one by 404."""
    alice, bob, admin = (service.tokens[name] for name in ("alice", "bob", "admin"))
    see = {"X-Auth-Token": bob, "X-Subject-Token": alice}
    assert (await service.client.get(TOKENS, headers=see)).status_code == 403
    see["X-Auth-Token"] = admin
    assert (await service.client.get(TOKENS, headers=see)).json()["token"]["user"]["name"] == "alice"
    see["X-Subject-Token"] = "nonsense"
    assert (await service.client.get(TOKENS, headers=see)).status_code == 404


async def test_what_is_taken_away_is_gone(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """A role withdrawn, a password changed, an account closed: old tokens end within a second."""
    monkeypatch.setattr("tintype.services.tokens._TRUSTED_SECONDS", 0)
    identity = service.parts.identity

    async def status(token: str) -> int:
        return (await service.client.get("/v2/images", headers={"X-Auth-Token": token})).status_code

    token = (await login(service, "alice")).headers["x-subject-token"]
    assert await status(token) == 200
    await identity.roles.revoke("alice", "alpha", "member")
    assert await status(token) == 401
    await identity.roles.grant("alice", "alpha", "reader")
    assert await status(token) == 200
    await identity.users.update("alice", password="another")
    assert await status(token) == 401
    assert (await login(service, "alice")).status_code == 401
    token = (await login(service, "alice", "another")).headers["x-subject-token"]
    assert await status(token) == 200
    await identity.users.update("alice", enabled=False)
    assert await status(token) == 401


async def test_a_token_expires(prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After its lifetime a token is worth nothing, cached or not."""
    settings = IdentitySettings(token_lifetime=60)
    async with running(prepared, tmp_path, identity=settings) as service:
        service.tokens["alice"] = (await login(service, "alice")).headers["x-subject-token"]
        real = time.time_ns()
        assert (await service.call("alice", "GET", "/v2/images")).status_code == 200
        monkeypatch.setattr("tintype.services.tokens.now", lambda: (real + 61_000_000_000) // 1000)
        monkeypatch.setattr("jwt.api_jwt.datetime", _Later)
        assert (await service.call("alice", "GET", "/v2/images")).status_code == 401


class _Later:
    """A clock that is 61 seconds ahead, for the JWT library."""

    @staticmethod
    def now(tz: object = None) -> object:
        return dt.datetime.now(tz) + dt.timedelta(seconds=61)  # type: ignore[arg-type]


async def test_forged_tokens_are_refused(service: Service) -> None:
    """No signature, another key, another algorithm, rubbish: all 401."""
    header, claims, signature = service.tokens["alice"].split(".")
    nothing = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').decode().rstrip("=")
    for forged in (
        f"{nothing}.{claims}.",
        f"{header}.{claims}.{signature[::-1]}",
        f"{header}.{claims}.",
        "x",
        "é",
    ):
        response = await service.client.get("/v2/images", headers={b"X-Auth-Token": forged.encode()})
        assert response.status_code == 401
        assert response.headers["www-authenticate"].startswith("Keystone uri=")


async def test_projects_and_users_are_looked_up(service: Service) -> None:
    """An exact project name is found by every user, because sharing needs it; lists are for admins."""
    alpha = service.projects["alice"]
    found = (await service.call("bob", "GET", "/identity/v3/projects?name=alpha")).json()["projects"]
    assert [project["id"] for project in found] == [alpha]
    assert (await service.call("bob", "GET", f"/identity/v3/projects/{alpha}")).json()["project"][
        "name"
    ] == "alpha"
    assert (await service.call("bob", "GET", "/identity/v3/projects?name=alp")).json()["projects"] == []
    assert (await service.call("bob", "GET", "/identity/v3/projects/alpha")).status_code == 404
    assert (await service.call("bob", "GET", "/identity/v3/projects")).status_code == 403
    assert (await service.call("bob", "GET", "/identity/v3/users")).status_code == 403
    assert (await service.call("bob", "GET", "/identity/v3/users?name=alice")).status_code == 403
    assert (await service.call(None, "GET", "/identity/v3/projects?name=alpha")).status_code == 401
    everybody = (await service.call("admin", "GET", "/identity/v3/users")).json()["users"]
    assert [user["name"] for user in everybody] == ["admin", "alice", "bob", "carol"]
    mine = (await service.call("bob", "GET", "/identity/v3/auth/projects")).json()["projects"]
    assert [project["name"] for project in mine] == ["beta"]
    assert (await service.call("bob", "GET", "/identity/v3/domains/default")).json()["domain"][
        "name"
    ] == "Default"


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {"auth": None},
        {"auth": {"identity": {"methods": []}}},
        {"auth": {"identity": {"methods": ["password"]}}},
        {"auth": {"identity": {"methods": ["password"], "password": {"user": {"name": 5}}}}},
        {"auth": {"identity": {"methods": ["oauth"], "oauth": {}}}},
        login_body("a\0b", "x", None),
        login_body("alice", "", None),
        login_body("\ud800", "x", None),
        login_body("alice", "\ud800", None),
        {"auth": {"identity": {"methods": ["token"], "token": {"id": "\ud800"}}}},
        {
            "auth": {
                **login_body("a", "b", None)["auth"],
                "scope": {"project": {"id": "x"}, "system": {"all": True}},
            }
        },
    ],
)
async def test_malformed_logins_are_refused(service: Service, body: object) -> None:
    """4xx in Keystone's shape, whatever is sent."""
    content = json.dumps(body).encode()
    response = await service.call(None, "POST", TOKENS, content=content)
    assert response.status_code in {400, 401}
    assert set(response.json()["error"]) == {"code", "title", "message", "request_id"}
