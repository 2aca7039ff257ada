"""A cloud's Keystone in place of the built-in identity: who is who, revoked and expired tokens, outages."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest

from keystone import PASSWORD, TOKEN_SECONDS, Keystone
from processes import BIN, BINARY, Server, eventually, started
from proxy import proxying

pytestmark = [pytest.mark.needs("keystone"), pytest.mark.xdist_group("keystone")]
CACHE_SECONDS = 2
RECOVERY_SECONDS = 5
"""In which the service must have noticed that Keystone is back; on a machine that does nothing else, 2."""
RAW = {"disk_format": "raw", "container_format": "bare"}


@pytest.fixture(scope="module")
def keystone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keystone]:
    """Give a Keystone."""
    keystone = Keystone(tmp_path_factory.mktemp("keystone"))
    yield keystone
    keystone.stop()


@pytest.fixture(scope="module")
def server(keystone: Keystone, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Give a Tintype that trusts it, known to it as the image service."""
    settings: dict[str, Any] = {
        "TINTYPE_KEYSTONE_AUTH_URL": keystone.url,
        "TINTYPE_KEYSTONE_PASSWORD": PASSWORD,
        "TINTYPE_KEYSTONE_CACHE_SECONDS": str(CACHE_SECONDS),
        "TINTYPE_KEYSTONE_TIMEOUT": "5",
    }
    with started(tmp_path_factory.mktemp("tintype") / "data", **settings) as server:
        keystone.offer(server.url)
        server.clouds.write_text(keystone.clouds())
        yield server


def call(server: Server, token: str, method: str, path: str, **options: Any) -> httpx2.Response:
    headers = {"X-Auth-Token": token, **dict(options.pop("headers", None) or {})}
    return httpx2.request(method, f"{server.url}{path}", headers=headers, timeout=30, **options)


def test_official_clients(server: Server, tmp_path: Path) -> None:
    """`openstack` and the SDK find the service by Keystone's catalogue; roles and projects hold."""
    data = tmp_path / "disk.raw"
    data.write_bytes(b"x" * 100_000)
    formats = ("--disk-format", "raw", "--container-format", "bare")
    made = server.run(
        *(
            "openstack",
            "image",
            "create",
            *formats,
            "--file",
            str(data),
            "mine",
            "-f",
            "value",
            "-c",
            "status",
        ),
        cloud="alice",
    )
    assert made.stdout.strip() == "active"
    assert "mine" in server.run("openstack", "image", "list", cloud="carol").stdout
    assert "mine" not in server.run("openstack", "image", "list", cloud="bob").stdout
    assert "mine" in server.run("openstack", "image", "list", cloud="admin").stdout
    assert server.run("openstack", "image", "create", "no", cloud="carol", check=False).returncode == 1
    assert server.run("openstack", "image", "delete", "mine", cloud="alice").returncode == 0
    script = f"""
import openstack
images = openstack.connect(cloud="alice").image
image = images.create_image("sdk", filename={str(data)!r}, disk_format="raw", container_format="bare")
assert images.get_image(image.id).status == "active"
images.delete_image(image.id)
"""
    server.run(sys.executable, "-c", script)


def test_there_is_no_other_identity(server: Server) -> None:
    """The built-in one is off; a refusal names Keystone; nothing but a token is taken for one."""
    assert httpx2.get(f"{server.url}/identity/v3").status_code == 404
    for token in ("", "nonsense", "gAAAAA" + "x" * 200, "y" * 20_000):
        answer = call(server, token, "GET", "/v2/images")
        assert answer.status_code == 401
        assert ":" in answer.headers["www-authenticate"]
        assert "identity" not in answer.headers["www-authenticate"]


def test_a_token_of_the_whole_system(server: Server, keystone: Keystone) -> None:
    """Its admin is no admin of images, as with Glance: they belong to projects."""
    image = call(server, keystone.log_in("alice", "alpha"), "POST", "/v2/images", json=RAW).json()["id"]
    token = keystone.log_in("admin", None)
    assert call(server, token, "GET", "/v2/images").status_code == 403
    assert call(server, token, "POST", "/v2/images", json=RAW).status_code == 403
    for method in ("GET", "DELETE"):
        assert call(server, token, method, f"/v2/images/{image}").status_code == 404


def test_a_revoked_token(server: Server, keystone: Keystone) -> None:
    """It lives no longer than the cache."""
    token = keystone.log_in("alice", "alpha")
    assert call(server, token, "GET", "/v2/images").status_code == 200
    keystone.revoke(token)
    eventually(lambda: call(server, token, "GET", "/v2/images").status_code == 401, CACHE_SECONDS + 2)


def test_a_token_that_ends_during_long_work(server: Server, keystone: Keystone) -> None:
    """By itself it is refused; with a service that speaks for the user it holds, and only then."""
    token = keystone.log_in("alice", "alpha")
    image = call(server, token, "POST", "/v2/images", json=RAW).json()["id"]
    time.sleep(TOKEN_SECONDS + 1)
    assert call(server, token, "GET", "/v2/images").status_code == 401
    service = keystone.log_in("glance", "service")
    put = {**BINARY, "X-Service-Token": service}
    assert (
        call(server, token, "PUT", f"/v2/images/{image}/file", content=b"abc", headers=put).status_code == 204
    )
    other = {"X-Service-Token": keystone.log_in("bob", "beta")}  # speaks for nobody
    assert call(server, token, "GET", "/v2/images", headers=other).status_code == 401
    wrong = {"X-Service-Token": "nonsense"}
    fresh = keystone.log_in("alice", "alpha")
    assert call(server, fresh, "GET", "/v2/images", headers=wrong).status_code == 401


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        (None, {"list": 200, "show": 200, "file": 200, "schema": 200, "create": 201}),
        ([("image", "GET", "/v2/images")], {"list": 200, "show": 401, "file": 401, "create": 401}),
        ([("image", "GET", "/v2/images/{id}")], {"list": 401, "show": 200, "file": 401, "delete": 401}),
        ([("image", "GET", "/v2/images/*/file")], {"list": 401, "show": 401, "file": 200}),
        (
            [("image", "GET", "/v2/images/**"), ("image", "POST", "/v2/images")],
            {"list": 401, "show": 200, "file": 200, "create": 201, "schema": 401},
        ),
        ([("image", "GET", "/**")], {"list": 200, "show": 200, "schema": 200, "create": 401, "page": 200}),
        ([("image", "POST", "/v2/images")], {"list": 401, "create": 201}),
        (
            [("compute", "GET", "/**")],
            {"list": 401, "show": 401, "page": 401, "session": None, "health": 401},
        ),
    ],
)
def test_access_rules(
    server: Server,
    keystone: Keystone,
    rules: list[tuple[str, str, str]] | None,
    expected: dict[str, int | None],
) -> None:
    """A restricted application credential does what its rules say, on every path, and nothing else."""
    image = call(server, keystone.log_in("alice", "alpha"), "POST", "/v2/images", json=RAW).json()["id"]
    put = call(
        server,
        keystone.log_in("alice", "alpha"),
        "PUT",
        f"/v2/images/{image}/file",
        content=b"x",
        headers=BINARY,
    )
    assert put.status_code == 204
    requests = {
        "list": ("GET", "/v2/images"),
        "show": ("GET", f"/v2/images/{image}"),
        "file": ("GET", f"/v2/images/{image}/file"),
        "delete": ("DELETE", f"/v2/images/{image}"),
        "schema": ("GET", "/v2/schemas/image"),
        "create": ("POST", "/v2/images"),
        "health": ("GET", "/healthcheck/detail"),
        "page": ("GET", "/api/glance/images"),
        "session": ("GET", "/api/session"),
    }
    token = keystone.restrict("alice", "alpha", rules)
    for _ in range(2):  # the second time it is known already
        for name, status in expected.items():
            method, path = requests[name]
            headers = {"X-Requested-With": "XMLHttpRequest", "Cookie": f"tintype_session={token}"}
            body = {"json": RAW} if method == "POST" else {}
            answer = call(server, token, method, path, headers=headers, **body)
            if status is None:  # nobody is logged in with it
                assert answer.json()["user"] is None
            else:
                assert answer.status_code == status, (name, answer.text)


def test_access_rules_and_services(server: Server, keystone: Keystone) -> None:
    """A service that speaks for the user lifts them, as for its other requests; others do not."""
    token = keystone.restrict("alice", "alpha", [("compute", "POST", "/v2.1/servers")])
    service = {"X-Service-Token": keystone.log_in("glance", "service")}
    other = {"X-Service-Token": keystone.log_in("bob", "beta")}
    wrong = {"X-Service-Token": "nonsense"}
    for headers, status in ((service, 200), (other, 401), (wrong, 401), ({}, 401), (service, 200)):
        assert call(server, token, "GET", "/v2/images", headers=headers).status_code == status


def test_through_a_proxy(keystone: Keystone, tmp_path: Path) -> None:
    """Keystone and other regions are asked through keystone.proxy, never through one of the environment."""
    settings: dict[str, Any] = {
        "TINTYPE_KEYSTONE_AUTH_URL": keystone.url,
        "TINTYPE_KEYSTONE_PASSWORD": PASSWORD,
    }
    with proxying() as proxy, proxying() as ignored:
        proxy.credentials = "user:s3cr3t"
        through = proxy.url.replace("://", "://user:s3cr3t@")
        variables: dict[str, Any] = dict.fromkeys(("HTTP_PROXY", "http_proxy", "ALL_PROXY"), ignored.url)
        settings |= {**variables, "NO_PROXY": "", "no_proxy": "", "TINTYPE_KEYSTONE_PROXY": through}
        with started(tmp_path / "data", **settings) as server:
            token = keystone.log_in("alice", "alpha")
            assert call(server, token, "GET", "/v2/images").status_code == 200
            made = call(server, token, "POST", "/v2/images", json=RAW).json()["id"]
            method = {"name": "glance-download", "glance_region": "nowhere", "glance_image_id": made}
            begun = call(server, token, "POST", f"/v2/images/{made}/import", json={"method": method})
            assert begun.status_code == 202, begun.text
            eventually(lambda: call(server, token, "GET", f"/v2/images/{made}").json()["status"] == "queued")
            asked = {target.partition("?")[0].rpartition("/v3")[2] for _, target, _ in proxy.seen}
            assert {"/auth/tokens", "/auth/catalog"} <= asked
            assert ignored.seen == []
        assert "s3cr3t" not in (tmp_path / "data.log").read_text()


def test_the_environment_has_no_proxy_for_it(keystone: Keystone, tmp_path: Path) -> None:
    """Without the setting Keystone is asked directly, whatever HTTP_PROXY says."""
    settings: dict[str, Any] = {
        "TINTYPE_KEYSTONE_AUTH_URL": keystone.url,
        "TINTYPE_KEYSTONE_PASSWORD": PASSWORD,
    }
    with proxying() as ignored:
        variables: dict[str, Any] = dict.fromkeys(("HTTP_PROXY", "http_proxy", "ALL_PROXY"), ignored.url)
        with started(tmp_path / "data", **settings, **variables, NO_PROXY="", no_proxy="") as server:
            token = keystone.log_in("alice", "alpha")
            assert call(server, token, "GET", "/v2/images").status_code == 200
        assert ignored.seen == []


def test_unified_limits(keystone: Keystone, tmp_path: Path) -> None:
    """Quotas are what Keystone has registered, and what it says of one project."""
    service, endpoint = keystone.offer("http://127.0.0.1:1")
    names = ("image_count_total", "image_size_total", "image_stage_total", "image_count_uploading")
    keystone.limit(service, dict.fromkeys(names, 3), {"image_count_total": 1, "image_size_total": -1})
    settings: dict[str, Any] = {
        "TINTYPE_KEYSTONE_AUTH_URL": keystone.url,
        "TINTYPE_KEYSTONE_PASSWORD": PASSWORD,
        "TINTYPE_KEYSTONE_ENDPOINT_ID": endpoint,
    }
    with started(tmp_path / "data", **settings) as server:
        alice, bob = keystone.log_in("alice", "alpha"), keystone.log_in("bob", "beta")
        shown = call(server, alice, "GET", "/v2/info/usage").json()["usage"]
        assert [shown[name]["limit"] for name in names] == [1, -1, 3, 3]
        codes = [call(server, alice, "POST", "/v2/images", json=RAW).status_code for _ in range(2)]
        codes += [call(server, bob, "POST", "/v2/images", json=RAW).status_code for _ in range(4)]
        assert codes == [201, 413, 201, 201, 201, 413]


def test_keystone_is_killed_under_load(server: Server, keystone: Keystone) -> None:
    """Known tokens hold on, unknown ones are 503 with a time to come back; then all is as before."""
    known, codes = keystone.log_in("alice", "alpha"), []
    stopped: list[bool] = []

    def load() -> None:
        while not stopped:
            codes.append(call(server, known, "GET", "/v2/images").status_code)

    with ThreadPoolExecutor(4) as threads:
        try:
            for _ in range(4):
                threads.submit(load)
            unknown = keystone.log_in("alice", "alpha")
            eventually(lambda: len(codes) > 20)
            keystone.stop()
            time.sleep(CACHE_SECONDS + 1)
            answer = call(server, unknown, "GET", "/v2/images")
        finally:
            stopped.append(True)
    keystone.start()
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert set(codes) == {200}
    fresh = keystone.log_in("bob", "beta")
    eventually(lambda: call(server, fresh, "GET", "/v2/images").status_code == 200, RECOVERY_SECONDS)


def test_keystone_is_frozen_under_load(server: Server, keystone: Keystone) -> None:
    """Nobody waits for a stopped process: known tokens hold on, others are told at once; then it is back."""
    known, fresh = keystone.log_in("alice", "alpha"), keystone.log_in("bob", "beta")
    took: list[tuple[float, int]] = []
    stopped: list[bool] = []

    def load() -> None:
        while not stopped:
            started = time.monotonic()
            status = call(server, known, "GET", "/v2/images").status_code
            took.append((time.monotonic() - started, status))

    assert call(server, known, "GET", "/v2/images").status_code == 200
    keystone.process.send_signal(signal.SIGSTOP)
    with ThreadPoolExecutor(12) as threads:
        try:
            for _ in range(12):
                threads.submit(load)
            time.sleep(CACHE_SECONDS + 4)
            refused = [call(server, fresh, "GET", "/v2/images") for _ in range(4)]
        finally:
            stopped.append(True)
            keystone.process.send_signal(signal.SIGCONT)
    back = time.monotonic()
    eventually(lambda: call(server, fresh, "GET", "/v2/images").status_code == 200, RECOVERY_SECONDS)
    took.sort()
    p99 = took[int(len(took) * 0.99)][0]
    print(f"{len(took)} requests, p99 {p99 * 1000:.0f} ms, back after {time.monotonic() - back:.2f} s")
    assert {status for _, status in took} == {200}
    assert {(answer.status_code, answer.headers["retry-after"]) for answer in refused} == {(503, "5")}
    assert took[-1][0] < 10, "as long as the timeout of a call, twice"
    said = (server.folder.parent / f"{server.folder.name}.log").read_text()
    assert said.count("Keystone does not answer") == said.count("Keystone answers again")


AJAX = {"X-Requested-With": "XMLHttpRequest"}


def browser(server: Server, name: str, password: str = PASSWORD, **more: str) -> tuple[httpx2.Client, int]:
    """Log in at the dashboard; gives the browser and the answer's status."""
    http = httpx2.Client(base_url=server.url, headers=AJAX, timeout=30, trust_env=False)
    body = {"username": name, "password": password, **more}
    return http, http.post("/api/session/", json=body).status_code


def test_people_log_in_at_the_dashboard(server: Server) -> None:
    """With Keystone's users, passwords and domains; log-out makes the token void there, and here at once."""
    for more in ({"password": "wrong"}, {"domain": "Nowhere"}):
        http, status = browser(server, "alice", **more)
        assert status == 401
        assert not http.cookies
        http.close()
    http, status = browser(server, "alice")
    assert status == 200
    seen = http.get("/api/session/").json()
    assert (seen["identity"], seen["user"]["name"], seen["project"]["name"]) == ("keystone", "alice", "alpha")
    assert http.get("/api/glance/images/").status_code == 200
    token = str(http.cookies["tintype_session"])
    headers = {"X-CSRFToken": seen["csrf_token"]}
    assert http.put("/api/session/", json={"project": "nowhere"}, headers=headers).status_code == 403
    assert http.delete("/api/session/", headers=headers).status_code == 204
    assert call(server, token, "GET", "/v2/images").status_code == 401
    assert http.get("/api/glance/images/").json() == "not logged in"
    http.close()


def test_a_session_ends_with_its_token(server: Server) -> None:
    """Keystone's tokens end soon here: the page is told to log in again."""
    http, status = browser(server, "bob")
    assert status == 200
    assert http.get("/api/glance/images/").status_code == 200
    eventually(lambda: http.get("/api/glance/images/").status_code == 401, TOKEN_SECONDS + CACHE_SECONDS + 5)
    assert http.get("/api/session/").json() == {"user": None, "identity": "keystone"}
    http.close()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({}, "ok       identity: Keystone at"),
        ({"PASSWORD": "hidden-and-wrong"}, "failed   identity: The image service cannot log in"),
        ({"USERNAME": "nobody"}, "failed   identity: The image service cannot log in"),
        ({"PROJECT_NAME": "no-such-project"}, "failed   identity: The image service cannot log in"),
        ({"AUTH_URL": "http://127.0.0.1:1"}, "failed   identity: The identity service cannot be used"),
        ({"USERNAME": "alice", "PROJECT_NAME": "alpha"}, "warning  identity: The user 'alice' has neither"),
        ({"PASSWORD": ""}, "set TINTYPE_KEYSTONE_PASSWORD"),
    ],
)
def test_the_login_of_the_service_is_checked(
    keystone: Keystone, tmp_path: Path, change: dict[str, str], says: str
) -> None:
    """A wrong password, user, project or address, and a user without the right to validate, are told."""
    chosen = {"AUTH_URL": keystone.url, "PASSWORD": PASSWORD, "TIMEOUT": "20", **change}
    environment = {**os.environ, **{f"TINTYPE_KEYSTONE_{name}": value for name, value in chosen.items()}}
    command = [str(BIN / "tintype"), "check", "--data-dir", str(tmp_path / "data")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)
    assert says in done.stdout, done.stdout + done.stderr
    assert done.returncode == (1 if "failed   identity" in done.stdout else 0)
    assert "hidden" not in done.stdout + done.stderr
    assert not (tmp_path / "data").exists()


def test_a_start_with_a_wrong_password_warns(keystone: Keystone, tmp_path: Path) -> None:
    """It serves, because Keystone may be mended; the log and the health say what is wrong."""
    settings: dict[str, Any] = {
        "TINTYPE_KEYSTONE_AUTH_URL": keystone.url,
        "TINTYPE_KEYSTONE_PASSWORD": "hidden-and-wrong",
        "TINTYPE_METRICS_TOKEN": "a-token-for-operators",
    }
    log = tmp_path / "data.log"
    with started(tmp_path / "data", **settings) as server:
        eventually(lambda: "component does not work" in log.read_text())
        bearer = {"Authorization": "Bearer a-token-for-operators"}
        parts = httpx2.get(f"{server.url}/healthcheck/detail", headers=bearer).json()["parts"]
        assert "cannot log in" in parts["identity"]["reason"]
        token = keystone.log_in("alice", "alpha")
        refused = call(server, token, "GET", "/v2/images")
        assert (refused.status_code, "cannot log in" in refused.text) == (503, True)
        assert keystone.url not in refused.text
    assert "TINTYPE_KEYSTONE_PASSWORD is wrong" in log.read_text()
    assert "hidden-and-wrong" not in log.read_text()
    assert token not in log.read_text()
