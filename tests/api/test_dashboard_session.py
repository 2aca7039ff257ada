"""Logins in a browser, and the protection of sessions against pages of other origins."""

from pathlib import Path

import httpx2
import pytest

from browsing import AJAX, Browser, browser
from inprocess import PASSWORD, Prepared, Service, running
from tintype.settings import DashboardSettings


async def test_login_shows_who_and_where(service: Service) -> None:
    """The answer has everything that a page needs; the cookie is for the browser alone."""
    alice = await browser(service, "alice")
    seen = alice.session
    assert (seen["user"]["name"], seen["project"]["name"], seen["is_admin"]) == ("alice", "alpha", False)
    assert seen["projects"] == [{"id": service.projects["alpha"], "name": "alpha"}]
    assert seen["identity"] == "builtin"
    assert "web-download" in seen["service"]["import_methods"]
    answer = await alice.log_in("alice")
    cookies = answer.headers.get_list("set-cookie")
    session = next(each for each in cookies if each.startswith("tintype_session="))
    csrf = next(each for each in cookies if each.startswith("csrftoken="))
    for wanted in ("HttpOnly", "SameSite=strict", "Path=/", "Max-Age="):
        assert wanted in session
    assert "HttpOnly" not in csrf
    assert "SameSite=strict" in csrf
    token = session.split("=", 1)[1].split(";")[0]
    assert token not in answer.text
    assert token not in csrf
    again = await alice.http.get("/api/session/", headers=AJAX)
    assert again.json() == answer.json()


async def test_nobody_is_an_answer(service: Service) -> None:
    """A page that opens asks who is there."""
    answer = await service.client.get("/api/session/", headers=AJAX)
    assert (answer.status_code, answer.json()) == (200, {"user": None, "identity": "builtin"})
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"username": "alice", "password": "wrong"}, 401),
        ({"username": "nobody", "password": "wrong"}, 401),
        ({"username": "alice", "password": PASSWORD, "domain": "Other"}, 401),
        ({"username": "alice"}, 400),
        ({"username": "", "password": "x"}, 400),
        ({"username": ["alice"], "password": "x"}, 400),
        ({"username": "a" * 2000, "password": "x"}, 400),
        ({"username": "a\0", "password": "x"}, 400),
        ([1], 400),
        ({}, 400),
    ],
)
async def test_logins_that_are_none(service: Service, body: object, status: int) -> None:
    """A string says why; no cookie is set."""
    answer = await service.client.post("/api/session/", json=body, headers=AJAX)
    assert (answer.status_code, type(answer.json())) == (status, str)
    assert "set-cookie" not in answer.headers


async def test_a_password_cannot_be_guessed_quickly(service: Service) -> None:
    """The delays of the built-in identity hold here, too."""
    wrong = {"username": "bob", "password": "no"}
    statuses = [
        (await service.client.post("/api/session/", json=wrong, headers=AJAX)).status_code for _ in range(12)
    ]
    assert set(statuses) == {401, 429}


async def test_login_makes_a_new_session_whatever_the_browser_brought(service: Service) -> None:
    """Session fixation: a cookie that somebody else has put there is worth nothing afterwards."""
    mallory = await browser(service, "bob")
    planted = mallory.http.cookies["tintype_session"]
    victim = Browser(httpx2.AsyncClient(transport=service.client._transport, base_url="http://testserver"))
    victim.http.cookies.set("tintype_session", planted)
    assert (await victim.log_in("alice")).status_code == 200
    assert victim.session["user"]["name"] == "alice"
    assert victim.http.cookies.get("tintype_session", domain="testserver.local") != planted
    seen = await mallory.http.get("/api/session/", headers=AJAX)
    assert seen.json()["user"]["name"] == "bob"


async def test_logout_makes_the_token_void(service: Service) -> None:
    """Also for who has copied it; a second logout is well."""
    alice = await browser(service, "alice")
    token = alice.http.cookies["tintype_session"]
    refused = await alice.http.delete("/api/session/", headers=AJAX)
    assert refused.status_code == 403
    headers = {**AJAX, "X-CSRFToken": alice.session["csrf_token"]}
    answer = await alice.http.delete("/api/session/", headers=headers)
    assert answer.status_code == 204
    assert not alice.http.cookies
    assert (await service.client.get("/v2/images", headers={"X-Auth-Token": token})).status_code == 401
    assert (await alice.http.delete("/api/session/", headers=AJAX)).status_code == 204
    assert (await alice.send("GET", "images/")).json() == "not logged in"


async def test_another_project(service: Service) -> None:
    """Who has roles in two projects goes from one to the other; nobody goes where he has none."""
    await service.parts.identity.roles.grant("alice", "beta", "member")
    alice = await browser(service, "alice")
    assert [place["name"] for place in alice.session["projects"]] == ["alpha", "beta"]
    headers = {**AJAX, "X-CSRFToken": alice.session["csrf_token"]}
    body = {"project": service.projects["beta"]}
    assert (await alice.http.put("/api/session/", json=body, headers=AJAX)).status_code == 403
    answer = await alice.http.put("/api/session/", json=body, headers=headers)
    assert answer.json()["project"]["name"] == "beta"
    assert (await alice.get("images/"))["items"] == []
    headers["X-CSRFToken"] = answer.json()["csrf_token"]
    elsewhere = await alice.http.put("/api/session/", json={"project": "admin"}, headers=headers)
    assert elsewhere.status_code == 403
    assert (await browser(service, "alice", project="beta")).session["project"]["name"] == "beta"
    assert (await service.client.put("/api/session/", json=body, headers=AJAX)).status_code == 401


async def test_who_has_no_project_may_only_log_in(service: Service) -> None:
    """The page says so; nothing of images is shown."""
    await service.parts.identity.users.create("lost", PASSWORD)
    lost = await browser(service, "lost")
    assert (lost.session["project"], lost.session["projects"]) == (None, [])
    assert (await lost.send("GET", "images/")).status_code == 403


def _each(service: Service) -> list[tuple[str, str, bool]]:
    """Give method and path of everything below /api/glance/, and whether a script must ask for it."""
    found = []
    for path, route in service.parts.routes.items():
        if path.startswith("/api/glance/"):
            by_link = path.removesuffix("/").endswith(("/file", "/events"))
            found += [(method, path, not by_link) for method in route.methods]
    return found


async def test_every_route_asks_for_session_script_and_csrf_token(service: Service) -> None:
    """In Horizon's order and words; another site's form or link does nothing anywhere."""
    alice = await browser(service, "alice")
    everything = _each(service)
    assert len(everything) > 80
    for method, template, by_script in everything:
        path = template.format(id="x", upload="x", member="x", tag="x", store="x", namespace="x")
        answer = await service.client.request(method, path, headers=AJAX)
        said = answer.json() if method != "HEAD" else "not logged in"
        assert (answer.status_code, said) == (401, "not logged in"), (method, path)
        if by_script:
            answer = await alice.http.request(method, path)
            said = answer.json() if method != "HEAD" else "request must be AJAX"
            assert (answer.status_code, said) == (400, "request must be AJAX"), (method, path)
        if method not in {"GET", "HEAD"}:
            for wrong in ({}, {"X-CSRFToken": "0" * 64}, {"X-CSRFToken": "x"}):
                answer = await alice.http.request(method, path, headers={**AJAX, **wrong})
                assert answer.status_code == 403, (method, path, wrong)
        for name, value in (("x-content-type-options", "nosniff"), ("cache-control", "no-store")):
            assert value in answer.headers[name], (method, path)


@pytest.mark.parametrize("cookie", [b"", b"x", b"\xe9", b"a.b.c", b"0" * 5000])
async def test_cookies_that_are_no_session(service: Service, cookie: bytes) -> None:
    """A broken cookie is nobody."""
    headers = [(b"X-Requested-With", b"XMLHttpRequest"), (b"Cookie", b"tintype_session=" + cookie)]
    answer = await service.client.get("/api/glance/images/", headers=headers)
    assert (answer.status_code, answer.json()) == (401, "not logged in")


async def test_the_csrf_token_of_one_session_is_none_of_another(service: Service) -> None:
    """It is made of the session's own token."""
    alice, bob = await browser(service, "alice"), await browser(service, "bob")
    stolen = {"X-CSRFToken": bob.session["csrf_token"]}
    answer = await alice.send("PUT", "images/", json={"name": "x"}, headers=stolen)
    assert answer.status_code == 403


async def test_browsers_are_led_to_the_page_and_clients_are_not(service: Service) -> None:
    """`/` is the page's for who wants HTML, and the API's versions for all others."""
    browsing = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    led = await service.client.get("/", headers=browsing)
    assert (led.status_code, led.headers["location"]) == (303, "dashboard/")
    assert (await service.client.get("/", headers={"Accept": "*/*"})).status_code == 300
    assert (await service.client.get("/dashboard")).headers["location"] == "dashboard/"
    for hostile in ("//evil.example/", "/%2f%2fevil.example", "/\\evil.example"):  # open redirects
        answer = await service.client.get(f"http://testserver{hostile}", headers=browsing)
        assert "evil" not in answer.headers.get("location", ""), hostile


async def test_the_page_leaves_strange_scripts_nothing_to_do(service: Service) -> None:
    """No script but its own files, no frame around it, no type that a browser would guess."""
    page = await service.client.get("/dashboard/")
    assert page.headers["content-type"].startswith("text/html")
    policy = page.headers["content-security-policy"]
    for wanted in (
        "default-src 'none'",
        "script-src 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'none'",
        "require-trusted-types-for 'script'",
    ):
        assert wanted in policy
    assert "unsafe" not in policy
    assert page.headers["x-frame-options"] == "DENY"
    again = await service.client.get("/dashboard/", headers={"If-None-Match": page.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    for nothing in ("nothing.js", "..%2fpages.py", "%2e%2e", "index.html%00"):
        assert (await service.client.get(f"/dashboard/{nothing}")).status_code in {400, 404}


async def test_where_it_is_switched_off_there_is_nothing(prepared: Prepared, tmp_path: Path) -> None:
    """No page, no paths for one, and `/` is the API's for browsers, too."""
    async with running(prepared, tmp_path, dashboard=DashboardSettings(enabled=False)) as service:
        for path in ("/dashboard/", "/api/session/", "/api/glance/images/"):
            assert (await service.client.get(path, headers=AJAX)).status_code == 404
        assert (await service.client.get("/", headers={"Accept": "text/html"})).status_code == 300
