"""Why a store or Keystone cannot be used, in words that are true and hold no address and no secret."""

import functools
import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
import structlog

import web
from certificates import Authority
from proxy import proxying
from tintype.auth.keystone import KeystoneAuthenticator, open_session, set_proxies
from tintype.blobs.s3 import S3Store
from tintype.blobs.web import Web
from tintype.domain.addresses import WebRules
from tintype.domain.imports import Import
from tintype.domain.proxies import parse_proxies
from tintype.domain.quotas import Quota
from tintype.errors import Invalid, Unavailable
from tintype.jobs.regions import KeystoneRegions
from tintype.policy.engine import Policy
from tintype.policy.rules import DEFAULTS
from tintype.settings import KeystoneSettings
from tintype.wiring.identity import keystone_calls

SECRET = "s3cr3t"


def closed_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


async def told_by_s3(url: str, *, seconds: int = 2) -> list[str]:
    """Return what reading and writing fail with: each has a library of its own."""
    names = {"bucket": "b", "prefix": "t/", "region": "us-east-1", "access_key": "a", "secret_key": SECRET}
    store = S3Store("s3", endpoint=url, timeout=seconds, **names)
    found = []
    for work in (store.get("t/key", 0, 1), store.call("list_multipart_uploads", Prefix="t/")):
        with pytest.raises(Unavailable) as failed:
            await work
        found.append(failed.value.message.removeprefix("The store 's3' cannot be used: "))
    await store.close()
    return found


def refusing(code: str, status: int) -> Callable[[web.Request], None]:
    """Answer as S3 does, with an error and words that are nobody's business."""
    text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{SECRET}</Message></Error>"
    return lambda request: request.give(text.encode(), status=status, Content_Type="application/xml")


@pytest.mark.parametrize(
    ("code", "status", "says"),
    [
        ("AccessDenied", 403, "the credentials in the settings do not suffice."),
        ("SlowDown", 503, "it is overloaded."),
        ("InternalError", 500, "it failed with an internal error."),
    ],
)
async def test_what_s3_answers(code: str, status: int, says: str) -> None:
    """Its error is told by what it means; both libraries are understood."""
    with web.serving(refusing(code, status)) as server:
        assert await told_by_s3(server.url, seconds=10) == [says, says]


@pytest.mark.parametrize(
    ("code", "status", "says"),
    [
        ("InvalidAccessKeyId", 403, "it does not accept the credentials in the settings."),
        ("SignatureDoesNotMatch", 403, "it does not accept the credentials in the settings."),
    ],
)
async def test_credentials_of_s3(code: str, status: int, says: str) -> None:
    """Wrong credentials are told from those that may not do something."""
    with web.serving(refusing(code, status)) as server:
        assert (await told_by_s3(server.url, seconds=10))[1] == says


@pytest.mark.parametrize(
    ("minutes", "says"),
    [(21, "is 21 minutes ahead of"), (-3 * 60, "is 180 minutes behind"), (None, "differs from")],
)
async def test_the_clock_of_s3(minutes: int | None, says: str) -> None:
    """A refusal for the time says whose clock is how wrong, where S3 tells its time, and what to do."""
    theirs = ""
    if minutes is not None:
        moment = datetime.now(UTC) - timedelta(minutes=minutes)
        theirs = f"<ServerTime>{moment:%Y-%m-%dT%H:%M:%SZ}</ServerTime>"
    text = (
        f"<?xml version='1.0'?><Error><Code>RequestTimeTooSkewed</Code><Message>no</Message>{theirs}</Error>"
    )
    answer = functools.partial(
        web.Request.give, data=text.encode(), status=403, Content_Type="application/xml"
    )
    with web.serving(answer) as server:
        told = await told_by_s3(server.url, seconds=10)
    wanted = (
        f"this machine's clock {says} the store's, and S3 refuses requests where they differ by more than "
        "15 minutes: set both by NTP."
    )
    assert told[1] == wanted
    assert told[0] in {wanted, "the credentials in the settings do not suffice."}


@pytest.mark.needs("time")
async def test_the_way_to_s3(tmp_path: Path) -> None:
    """A closed port, a name that does not exist, silence and certificates are told apart."""
    refused = "it refuses connections."
    assert await told_by_s3(f"http://127.0.0.1:{closed_port()}") == [refused, refused]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        silent = "no answer in time."
        assert await told_by_s3(f"http://127.0.0.1:{listener.getsockname()[1]}") == [silent, silent]
    with web.serving(lambda request: request.give(b""), tls=Authority(tmp_path).context()) as server:
        untrusted = "its certificate is not trusted."
        assert await told_by_s3(server.url) == [untrusted, untrusted]


IMAGE = "00000000-0000-0000-0000-000000000001"


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        (
            "/v3/auth/catalog",
            401,
            "Region 'south': the token of the import is not accepted there, or no longer.",
        ),
        (
            "/v3/auth/catalog",
            404,
            "Region 'south': the identity service did not return a valid service catalogue.",
        ),
        (
            f"/v2/images/{IMAGE}",
            401,
            "Region 'south': the token of the import is not accepted there, or no longer.",
        ),
        (
            f"/v2/images/{IMAGE}",
            404,
            f"The image {IMAGE} was not found in region 'south', or you may not see it",
        ),
        ("", 0, f"The image {IMAGE} in region 'south' has no data to copy: it is not active."),
    ],
)
async def test_other_regions(path: str, status: int, says: str) -> None:
    """A token that has ended, a catalogue and an image that are not there are told apart."""

    def answer(request: web.Request) -> None:
        endpoint = {"region_id": "south", "interface": "public", "url": request.server.url}
        catalogue = {"catalog": [{"type": "image", "endpoints": [endpoint]}]}
        document = catalogue if request.path.startswith("/v3") else {"status": "queued"}
        request.give(msgspec.json.encode(document), status=status if request.path == path else 200)

    with web.serving(answer) as server:
        way = Web(WebRules(anywhere=True))
        regions = KeystoneRegions(server.url, way, limit=1000, seconds=5, min_rate=0)
        wanted = Import("glance-download", region="south", remote_id=IMAGE)
        attempt: Any = SimpleNamespace(secret="token")
        with pytest.raises(Invalid) as failed:
            await regions.open(attempt, wanted)
        await way.close()
    assert failed.value.message.startswith(says)
    assert {headers["X-Auth-Token"] for _, _, headers in server.seen} == {"token"}


async def told_by_keystone(url: str, proxy: str | None = None, **more: Any) -> str:
    """Return what a token is refused with, and hold that neither it nor the log has our password."""
    log = structlog.testing.CapturingLogger()
    session = open_session(
        auth_url=url,
        username="glance",
        password=SECRET,
        project_name="service",
        user_domain_name="Default",
        project_domain_name="Default",
        timeout=2,
        cafile=None,
    )
    urls = () if proxy is None else (("http", proxy), ("https", proxy))
    set_proxies(session, parse_proxies("keystone.proxy", urls))
    policy, quota = Policy(DEFAULTS), Quota()
    options: dict[str, Any] = {"cache_seconds": 1, "cached_tokens": 9, "service_roles": (), "limits": None}
    calls = keystone_calls(KeystoneSettings(auth_url=url), session, log)
    keystone = KeystoneAuthenticator(calls, policy, log, quota=quota, **options, **more)
    with pytest.raises(Unavailable) as failed:
        await keystone.authenticate("token", address="192.0.2.1")
    await keystone.close()
    assert SECRET not in failed.value.message + str(log.calls)
    return failed.value.message.removeprefix("The identity service ")


async def test_the_way_to_keystone(tmp_path: Path) -> None:
    """A closed port, certificates, a proxy, a refused login of our own and odd answers are told apart."""
    port = closed_port()
    assert await told_by_keystone(f"http://127.0.0.1:{port}") == "cannot be used: it refuses connections."
    with web.serving(lambda request: request.give(b""), tls=Authority(tmp_path).context()) as server:
        assert await told_by_keystone(server.url) == "cannot be used: its certificate is not trusted."
    with proxying() as proxy:
        proxy.credentials = "somebody:else"
        through = proxy.url.replace("://", f"://user:{SECRET}@")
        told = await told_by_keystone(f"https://127.0.0.1:{port}", through)
        assert told == "cannot be used: the proxy does not let it be reached."


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (401, "The image service cannot log in to the identity service."),
        (500, "cannot be used: it failed with an internal error."),
    ],
)
async def test_what_keystone_answers(status: int, says: str) -> None:
    """A login of ours that is refused is an operator's mistake, not silence."""

    def answer(request: web.Request) -> None:
        request.rfile.read(int(request.headers.get("Content-Length", 0)))
        request.give(b'{"error": {"message": "no"}}', status=status, Content_Type="application/json")

    with web.serving(answer) as server:
        assert await told_by_keystone(server.url) == says
