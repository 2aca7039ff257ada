"""Users, projects and roles of the built-in identity, as identity clients manage them."""

import json

import httpx2
import pytest

from inprocess import PASSWORD, Service
from tintype.db.engine import now
from tintype.services import passwords

V3 = "/identity/v3"
TOKENS = f"{V3}/auth/tokens"


@pytest.fixture(autouse=True)
def _untrusted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every token looked up each time: what these tests change must show at once."""
    monkeypatch.setattr("tintype.services.tokens._TRUSTED_SECONDS", 0)


async def log_in(
    service: Service, name: str, password: str = PASSWORD, project: str | None = "alpha", **more: object
) -> httpx2.Response:
    domain = {"id": "default"}
    user = {"name": name, "domain": domain, "password": password}
    auth: dict[str, object] = {"identity": {"methods": ["password"], "password": {"user": user}}, **more}
    if project is not None:
        auth["scope"] = {"project": {"name": project, "domain": domain}}
    return await service.call(None, "POST", TOKENS, json={"auth": auth})


async def as_token(
    service: Service, token: str, method: str, path: str, **options: object
) -> httpx2.Response:
    return await service.call(None, method, path, headers={"X-Auth-Token": token}, **options)


async def id_of(service: Service, kind: str, name: str) -> str:
    found = (await service.call("admin", "GET", f"{V3}/{kind}?name={name}")).json()[kind]
    return str(found[0]["id"])


def is_keystone_error(answer: httpx2.Response) -> bool:
    error = answer.json().get("error", {})
    return set(error) == {"code", "title", "message", "request_id"} and error["code"] == answer.status_code


async def test_the_life_of_a_project(service: Service) -> None:
    """Create, show, find, change, close, delete; a name is taken once."""
    body = {"project": {"name": "gamma", "description": "third", "domain_id": "default", "tags": []}}
    made = await service.call("admin", "POST", f"{V3}/projects", json=body)
    assert made.status_code == 201
    project = made.json()["project"]
    assert (project["name"], project["description"], project["enabled"]) == ("gamma", "third", True)
    again = await service.call("admin", "POST", f"{V3}/projects", json=body)
    assert (again.status_code, is_keystone_error(again)) == (409, True)
    url = f"{V3}/projects/{project['id']}"
    taken = await service.call("admin", "PATCH", url, json={"project": {"name": "alpha"}})
    assert taken.status_code == 409
    changes = {"name": "delta", "description": None}
    changed = await service.call("admin", "PATCH", url, json={"project": changes})
    assert (changed.status_code, changed.json()["project"]["name"]) == (200, "delta")
    assert changed.json()["project"]["description"] == ""
    await service.parts.identity.roles.grant("alice", "delta", "member")
    token = (await log_in(service, "alice", project="delta")).headers["x-subject-token"]
    assert (await as_token(service, token, "GET", "/v2/images")).status_code == 200
    assert (await service.call("admin", "PATCH", url, json={"project": {"enabled": False}})).json()[
        "project"
    ]["enabled"] is False
    assert (await as_token(service, token, "GET", "/v2/images")).status_code == 401
    assert (await log_in(service, "alice", project="delta")).status_code == 401
    closed = (await service.call("admin", "GET", f"{V3}/projects?enabled=false")).json()["projects"]
    assert [each["name"] for each in closed] == ["delta"]
    opened = (await service.call("admin", "GET", f"{V3}/projects?enabled=true")).json()["projects"]
    assert "delta" not in [each["name"] for each in opened]
    assert (await service.call("admin", "DELETE", url)).status_code == 204
    for method in ("GET", "DELETE"):
        gone = await service.call("admin", method, url)
        assert (gone.status_code, is_keystone_error(gone)) == (404, True)


async def test_the_life_of_a_user(service: Service) -> None:
    """Create, log in, change, close, delete; what clients store of a user is kept."""
    about = {"email": "eve@example.org", "description": "of the tests"}
    body = {"user": {"name": "eve", "password": "first", "domain_id": "default", "options": {}, **about}}
    made = await service.call("admin", "POST", f"{V3}/users", json=body)
    assert made.status_code == 201
    user = made.json()["user"]
    assert {name: user[name] for name in about} == about
    assert "password" not in str(user).replace("password_expires_at", "")
    assert (await service.call("admin", "POST", f"{V3}/users", json=body)).status_code == 409
    url = f"{V3}/users/{user['id']}"
    await service.parts.identity.roles.grant("eve", "alpha", "member")
    token = (await log_in(service, "eve", "first")).headers["x-subject-token"]
    assert (await as_token(service, token, "GET", url)).json()["user"]["email"] == "eve@example.org"
    renamed = await service.call("admin", "PATCH", url, json={"user": {"name": "eva", "email": None}})
    assert (renamed.json()["user"]["name"], "email" in renamed.json()["user"]) == ("eva", False)
    assert (await as_token(service, token, "GET", "/v2/images")).status_code == 200  # a name ends no token
    assert (await service.call("admin", "PATCH", url, json={"user": {"name": "bob"}})).status_code == 409
    await service.call("admin", "PATCH", url, json={"user": {"password": "second"}})
    assert (await as_token(service, token, "GET", "/v2/images")).status_code == 401
    assert (await log_in(service, "eva", "first")).status_code == 401
    token = (await log_in(service, "eva", "second")).headers["x-subject-token"]
    await service.call("admin", "PATCH", url, json={"user": {"enabled": False}})
    assert (await as_token(service, token, "GET", "/v2/images")).status_code == 401
    assert (await log_in(service, "eva", "second")).status_code == 401
    await service.call("admin", "PATCH", url, json={"user": {"enabled": True}})
    assert (await log_in(service, "eva", "second")).status_code == 201
    assert (await service.call("admin", "DELETE", url)).status_code == 204
    assert (await log_in(service, "eva", "second")).status_code == 401
    for method in ("GET", "DELETE"):
        assert (await service.call("admin", method, url)).status_code == 404


async def test_a_user_without_a_password(service: Service) -> None:
    """It exists and may have roles; nothing logs it in until it is given a password."""
    made = await service.call("admin", "POST", f"{V3}/users", json={"user": {"name": "eve"}})
    await service.parts.identity.roles.grant("eve", "alpha", "member")
    for guess in (" ", "None", "x"):
        assert (await log_in(service, "eve", guess)).status_code == 401
    url = f"{V3}/users/{made.json()['user']['id']}"
    await service.call("admin", "PATCH", url, json={"user": {"password": "now"}})
    assert (await log_in(service, "eve", "now")).status_code == 201


async def test_the_default_project(service: Service) -> None:
    """A login that names no scope is of it, while the user has a role there; an unscoped one is not."""
    body = {"name": "eve", "password": PASSWORD, "default_project_id": service.projects["alpha"]}
    made = await service.call("admin", "POST", f"{V3}/users", json={"user": body})
    assert made.json()["user"]["default_project_id"] == service.projects["alpha"]
    assert "project" not in (await log_in(service, "eve", project=None)).json()["token"]
    await service.parts.identity.roles.grant("eve", "alpha", "reader")
    assert (await log_in(service, "eve", project=None)).json()["token"]["project"]["name"] == "alpha"
    unscoped = await log_in(service, "eve", project=None, scope="unscoped")
    assert "project" not in unscoped.json()["token"]


@pytest.mark.parametrize("with_token", [True, False])
async def test_a_user_changes_its_own_password(service: Service, with_token: bool) -> None:
    """The original password is what it takes; every token of the user ends."""
    url = f"{V3}/users/{await id_of(service, 'users', 'alice')}/password"
    body = {"user": {"original_password": PASSWORD, "password": "another"}}
    assert (await service.call("alice" if with_token else None, "POST", url, json=body)).status_code == 204
    assert (await service.call("alice", "GET", "/v2/images")).status_code == 401
    assert (await log_in(service, "alice")).status_code == 401
    assert (await log_in(service, "alice", "another")).status_code == 201


async def test_guessing_an_original_password_is_slowed_down(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It counts as a failed login; wrong users, closed ones and wrong passwords are answered alike."""
    url = f"{V3}/users/{await id_of(service, 'users', 'alice')}/password"
    body = {"user": {"original_password": "wrong", "password": "another"}}
    wrong = await service.call("bob", "POST", url, json=body)
    unknown = await service.call("bob", "POST", f"{V3}/users/nobody/password", json=body)
    assert (wrong.status_code, unknown.status_code) == (401, 401)
    assert wrong.json()["error"]["message"] == unknown.json()["error"]["message"]
    for _ in range(3):
        assert (await service.call("bob", "POST", url, json=body)).status_code == 401
    assert (await service.call("bob", "POST", url, json=body)).status_code == 429
    assert (await log_in(service, "alice")).status_code == 429
    later = now() + 60_000_001
    monkeypatch.setattr(passwords, "now", lambda: later)
    assert (await log_in(service, "alice")).status_code == 201


async def test_roles_are_granted_and_withdrawn(service: Service) -> None:
    """PUT, HEAD, GET and DELETE of one assignment, and what a user has in a project."""
    user, project = await id_of(service, "users", "bob"), service.projects["alpha"]
    url = f"{V3}/projects/{project}/users/{user}/roles"
    assert (await log_in(service, "bob", project="alpha")).status_code == 401
    for method in ("HEAD", "GET", "DELETE"):
        assert (await service.call("admin", method, f"{url}/role-reader")).status_code == 404
    for _ in range(2):
        assert (await service.call("admin", "PUT", f"{url}/role-reader")).status_code == 204
    for method in ("HEAD", "GET"):
        assert (await service.call("admin", method, f"{url}/role-reader")).status_code == 204
    assert [role["name"] for role in (await service.call("admin", "GET", url)).json()["roles"]] == ["reader"]
    token = (await log_in(service, "bob", project="alpha")).headers["x-subject-token"]
    assert (await service.call("admin", "DELETE", f"{url}/role-reader")).status_code == 204
    assert (await as_token(service, token, "GET", "/v2/images")).status_code == 401
    for wrong in (
        f"{url}/role-king",
        f"{url}/reader",
        f"{V3}/projects/alpha/users/{user}/roles/role-reader",
        f"{V3}/projects/{project}/users/bob/roles/role-reader",
    ):
        refused = await service.call("admin", "PUT", wrong)
        assert (refused.status_code, is_keystone_error(refused)) == (404, True)
    assert (await service.call("bob", "GET", f"{V3}/roles/role-member")).json()["role"]["name"] == "member"
    assert (await service.call("bob", "GET", f"{V3}/roles/member")).status_code == 404


async def test_role_assignments(service: Service) -> None:
    """The filters that clients send, names, and the roles that are implied."""
    user, project = await id_of(service, "users", "alice"), service.projects["alpha"]

    async def found(query: str) -> list[tuple[str, str, str]]:
        answer = await service.call("admin", "GET", f"{V3}/role_assignments?{query}")
        assert answer.status_code == 200
        return [
            (each["user"]["id"], each["scope"]["project"]["id"], each["role"]["id"])
            for each in answer.json()["role_assignments"]
        ]

    assert len(await found("")) == 4
    assert await found(f"user.id={user}") == [(user, project, "role-member")]
    assert {each[0] for each in await found(f"scope.project.id={project}")} == {
        user,
        await id_of(service, "users", "carol"),
    }
    assert await found(f"user.id={user}&role.id=role-reader") == []
    assert await found(f"user.id={user}&role.id=role-reader&effective") == [(user, project, "role-reader")]
    assert [each[2] for each in await found(f"user.id={user}&effective=True")] == [
        "role-member",
        "role-reader",
    ]
    assert await found(f"user.id={user}&effective=False") == [(user, project, "role-member")]
    for elsewhere in ("user.id=nobody", "group.id=x", "scope.system=all", "scope.domain.id=default"):
        assert await found(elsewhere) == []
    named = await service.call("admin", "GET", f"{V3}/role_assignments?user.id={user}&include_names=True")
    domain = {"id": "default", "name": "Default"}
    (each,) = named.json()["role_assignments"]
    assert each["user"] == {"id": user, "name": "alice", "domain": domain}
    assert each["scope"]["project"] == {"id": project, "name": "alpha", "domain": domain}
    assert each["role"] == {"id": "role-member", "name": "member"}


REQUESTS: dict[str, tuple[str, str, object]] = {
    "list projects": ("GET", "projects", None),
    "find a project": ("GET", "projects?name=alpha", None),
    "show a project": ("GET", "projects/{project}", None),
    "create a project": ("POST", "projects", {"project": {"name": "new"}}),
    "change a project": ("PATCH", "projects/{project}", {"project": {"description": "x"}}),
    "list users": ("GET", "users", None),
    "find a user": ("GET", "users?name=bob", None),
    "find itself": ("GET", "users?name={name}", None),
    "show a user": ("GET", "users/{other}", None),
    "show itself": ("GET", "users/{self}", None),
    "projects of a user": ("GET", "users/{other}/projects", None),
    "own projects": ("GET", "users/{self}/projects", None),
    "create a user": ("POST", "users", {"user": {"name": "new", "password": "x"}}),
    "change a user": ("PATCH", "users/{other}", {"user": {"description": "x"}}),
    "change itself": ("PATCH", "users/{self}", {"user": {"description": "x"}}),
    "list roles": ("GET", "roles", None),
    "list assignments": ("GET", "role_assignments", None),
    "own assignments": ("GET", "role_assignments?user.id={self}", None),
    "roles in a project": ("GET", "projects/{project}/users/{other}/roles", None),
    "check a role": ("HEAD", "projects/{project}/users/{other}/roles/role-reader", None),
    "grant a role": ("PUT", "projects/{project}/users/{other}/roles/role-reader", None),
    "grant itself": ("PUT", "projects/{project}/users/{self}/roles/role-admin", None),
    "withdraw a role": ("DELETE", "projects/{project}/users/{other}/roles/role-reader", None),
    "list credentials": ("GET", "users/{other}/application_credentials", None),
    "own credentials": ("GET", "users/{self}/application_credentials", None),
    "show a credential": ("GET", "users/{other}/application_credentials/{credential}", None),
    "hers as one's own": ("GET", "users/{self}/application_credentials/{credential}", None),
    "create a credential": (
        "POST",
        "users/{self}/application_credentials",
        {"application_credential": {"name": "x"}},
    ),
    "create hers": (
        "POST",
        "users/{other}/application_credentials",
        {"application_credential": {"name": "x"}},
    ),
    "delete hers as one's own": ("DELETE", "users/{self}/application_credentials/{credential}", None),
    "delete a credential": ("DELETE", "users/{other}/application_credentials/{credential}", None),
    "delete a user": ("DELETE", "users/{other}", None),
    "delete a project": ("DELETE", "projects/{project}", None),
}
EVERYBODY = {
    "find a project": 200,
    "show a project": 200,
    "find itself": 200,
    "show itself": 200,
    "own projects": 200,
    "list roles": 200,
    "own credentials": 200,
    "hers as one's own": 404,
    "create a credential": 201,
    "delete hers as one's own": 404,
}
ADMINS = dict.fromkeys(REQUESTS, 200) | {
    "create a project": 201,
    "create a user": 201,
    "check a role": 404,
    "grant a role": 204,
    "grant itself": 204,
    "withdraw a role": 204,
    "hers as one's own": 404,
    "create a credential": 201,
    "create hers": 403,
    "delete hers as one's own": 404,
    "delete a credential": 204,
    "delete a user": 204,
    "delete a project": 204,
}
RESTRICTED = {"create a credential": 403, "delete hers as one's own": 403, "delete a credential": 403}


@pytest.mark.parametrize(
    ("who", "expected"),
    [
        ("alice", EVERYBODY),
        ("carol", EVERYBODY),
        ("service", EVERYBODY),
        ("alice unscoped", {**EVERYBODY, "create a credential": 403}),
        ("alice by credential", {**EVERYBODY, **RESTRICTED}),
        ("alice by an unrestricted one", EVERYBODY),
        ("admin", ADMINS),
        ("admin by credential", {**ADMINS, **RESTRICTED}),
        ("admin by one of a reader", {**EVERYBODY, **RESTRICTED}),
        ("admin unscoped", {**EVERYBODY, "create a credential": 403}),
        ("nobody", dict.fromkeys(REQUESTS, 401)),
    ],
)
async def test_who_may_do_what(service: Service, who: str, expected: dict[str, int]) -> None:
    """Whatever is not in the table of a kind of caller is 403, and changes nothing."""
    name, _, kind = who.partition(" ")
    await service.parts.identity.users.create("service", PASSWORD, project="alpha", role="service")
    await service.parts.identity.users.create("other", PASSWORD, project="gamma", role="member")
    password = PASSWORD
    if name == "admin":
        password = "admins"
        await service.parts.identity.users.update("admin", password=password)
        service.tokens["admin"] = (await log_in(service, "admin", password, "admin")).headers[
            "x-subject-token"
        ]
    project = None if kind == "unscoped" else "admin" if name == "admin" else "alpha"
    names = {
        "name": name,
        "self": "none" if who == "nobody" else await id_of(service, "users", name),
        "other": await id_of(service, "users", "other"),
        "project": await id_of(service, "projects", "gamma"),
    }
    token = ""
    if who != "nobody":
        login = await log_in(service, name, password, project)
        token = login.headers["x-subject-token"]
    if kind.startswith("by"):
        body = {"name": "own", "unrestricted": kind == "by an unrestricted one"}
        if kind == "by one of a reader":
            body["roles"] = [{"name": "reader"}]
        token = await credential_token(service, token, names["self"], body)
    others = (await log_in(service, "other", project="gamma")).headers["x-subject-token"]
    await credential_token(service, others, names["other"], {"name": "hers"})
    found = await as_token(service, others, "GET", f"{V3}/users/{names['other']}/application_credentials")
    names["credential"] = found.json()["application_credentials"][0]["id"]
    for label, (method, path, body_of) in REQUESTS.items():
        options = {} if body_of is None else {"json": body_of}
        answer = await as_token(service, token, method, f"{V3}/{path.format(**names)}", **options)
        assert answer.status_code == expected.get(label, 403), (label, answer.text)
        assert method == "HEAD" or answer.status_code < 400 or is_keystone_error(answer), label
    if expected.get("delete a user", 403) != 204:
        assert (await log_in(service, "other", project="gamma")).status_code == 201


async def credential_token(service: Service, token: str, user: str, body: dict[str, object]) -> str:
    url = f"{V3}/users/{user}/application_credentials"
    made = await as_token(service, token, "POST", url, json={"application_credential": body})
    assert made.status_code == 201, made.text
    method = {name: made.json()["application_credential"][name] for name in ("id", "secret")}
    identity = {"methods": ["application_credential"], "application_credential": method}
    answer = await service.call(None, "POST", TOKENS, json={"auth": {"identity": identity}})
    assert answer.status_code == 201, answer.text
    return str(answer.headers["x-subject-token"])


TEXT = [5, [], {}, "a\0b", "x" * 5000]
MALFORMED: list[object] = [
    b"",
    b"[]",
    b"{}",
    b'{"other": {"name": "x"}}',
    *({"name": value} for value in [None, "", " x", "x\n", "x" * 256, "\ud800", *TEXT]),
    *({"name": "x", "description": value} for value in TEXT),
    *({"name": "x", "unknown": value} for value in (1, "a", [1], {"a": 1})),
    {"name": "x", "tags": ["t"]},
    {"name": "x", "options": {"immutable": True}},
]


@pytest.mark.parametrize("noun", ["project", "user", "application_credential"])
async def test_malformed_bodies(service: Service, noun: str) -> None:
    """400 in Keystone's shape, whatever is sent; what is not stored is not taken."""
    path = {
        "project": "projects",
        "user": "users",
        "application_credential": f"users/{await id_of(service, 'users', 'admin')}/application_credentials",
    }[noun]
    for body in MALFORMED:
        content = body if isinstance(body, bytes) else json.dumps({noun: body}).encode()
        answer = await service.call("admin", "POST", f"{V3}/{path}", content=content)
        assert (answer.status_code, is_keystone_error(answer)) == (400, True), (body, answer.text)


FIELDS: list[tuple[str, object, int]] = [
    ("projects", {"project": {"name": "a", "domain_id": "other"}}, 404),
    ("projects", {"project": {"name": "a", "parent_id": "other"}}, 400),
    ("projects", {"project": {"name": "a", "is_domain": True}}, 400),
    ("projects", {"project": {"name": "a", "enabled": "yes"}}, 400),
    ("projects", {"project": {"name": "a", "parent_id": "", "is_domain": False, "tags": []}}, 201),
    ("users", {"user": {"name": "a", "domain_id": "other"}}, 404),
    ("users", {"user": {"name": "a", "email": "x" * 256}}, 400),
    ("users", {"user": {"name": "a", "default_project_id": "x" * 65}}, 400),
    ("users", {"user": {"name": "a", "password": ""}}, 400),
    ("users", {"user": {"name": "a", "options": {"ignore_lockout_failure_attempts": False}}}, 201),
    ("users/x/password", {"user": {"password": "x"}}, 400),
    ("users/x/password", {"user": {"password": "x", "original_password": 5}}, 400),
]


async def test_fields_that_there_are_not(service: Service) -> None:
    """Other domains, parents, options and wrong types are refused; defaults that clients send are not."""
    for path, body, status in FIELDS:
        answer = await service.call("admin", "POST", f"{V3}/{path}", json=body)
        assert answer.status_code == status, (body, answer.text)
        assert status < 400 or is_keystone_error(answer)
