"""What those who run the service see: health, numbers, limits on callers, pages of other origins."""

import asyncio
import gzip
import signal
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx2
import pytest
import structlog
from prometheus_client.parser import text_string_to_metric_families

from inprocess import Prepared, Service, running
from processes import Api, started
from tintype.api.throttle import Throttle
from tintype.blobs.filesystem import FilesystemStore
from tintype.errors import TooManyAttempts, Unavailable
from tintype.services.health import Health
from tintype.settings import MetricsSettings, Server, TracingSettings

BINARY = {"Content-Type": "application/octet-stream"}
RAW = {"disk_format": "raw", "container_format": "bare"}
TOKEN = "a-token-for-prometheus"


def numbers(text: str) -> dict[tuple[str, ...], float]:
    """Read metrics: values by name and labels."""
    return {
        (sample.name, *(str(value) for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_requests_are_counted_by_route(prepared: Prepared, tmp_path: Path) -> None:
    """By the path of the table, never by what a client wrote: the number of series is bounded."""
    async with running(prepared, tmp_path, metrics=MetricsSettings(token=TOKEN)) as service:
        image = (await service.call("alice", "POST", "/v2/images", json=RAW)).json()["id"]
        put = await service.call(
            "alice", "PUT", f"/v2/images/{image}/file", content=b"x" * 999, headers=BINARY
        )
        assert put.status_code == 204
        await service.call("alice", "GET", f"/v2/images/{image}")
        for number in range(3):
            await service.call("alice", "GET", f"/v2/images/no-{number}")
            await service.call("alice", "GET", f"/nowhere/{number}")
            await service.call("alice", f"METHOD{number}", "/v2/images")
        bearer = {"Authorization": f"Bearer {TOKEN}"}
        found = numbers((await service.call(None, "GET", "/metrics", headers=bearer)).text)
        assert found["tintype_requests_total", "GET", "/v2/images/{id}", "200"] == 1
        assert found["tintype_requests_total", "GET", "/v2/images/{id}", "404"] == 3
        assert found["tintype_requests_total", "other", "none", "404"] == 3
        assert found["tintype_requests_total", "other", "/v2/images", "405"] == 3
        assert found["tintype_request_seconds_count", "PUT", "/v2/images/{id}/file"] == 1
        assert found["tintype_received_bytes_total",] == 999
        assert found["tintype_requests_running",] == 1


async def test_the_numbers_are_not_for_everybody(service: Service) -> None:
    """An admin sees them; without a token of their own nobody else does, whatever they bring."""
    assert (await service.call("admin", "GET", "/metrics")).status_code == 200
    assert (await service.call("alice", "GET", "/metrics")).status_code == 403
    for headers in ({}, {"Authorization": "Bearer "}, {"Authorization": "Bearer None"}):
        assert (await service.call(None, "GET", "/metrics", headers=headers)).status_code == 401


async def test_health(service: Service) -> None:
    """Whoever asks is told whether requests can be served; how each part is only operators."""
    for path in ("/healthcheck", "/healthcheck/live"):
        assert (await service.call(None, "GET", path)).text == "OK"
    assert (await service.call("alice", "GET", "/healthcheck/detail")).status_code == 403
    parts = (await service.call("admin", "GET", "/healthcheck/detail")).json()["parts"]
    assert set(parts) == {"database", "identity", "store local"}
    assert all(part["ok"] and part["ms"] >= 0 for part in parts.values())


async def test_parts_that_do_not_work_are_logged_at_the_start(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each by its name with the reason, and no other; one that is slow to answer gets its time."""

    async def fail(self: FilesystemStore) -> None:
        await asyncio.sleep(2.2)  # longer than a probe has
        raise Unavailable("The disk does not answer.")

    monkeypatch.setattr(FilesystemStore, "check", fail)
    with structlog.testing.capture_logs() as lines:
        await Health(service.parts.database, service.parts.stores, None).warn(structlog.get_logger())
    assert lines == [
        {
            "event": "component does not work",
            "log_level": "warning",
            "part": "store local",
            "reason": "The disk does not answer.",
        }
    ]
    health = Health(service.parts.database, service.parts.stores, None)
    detail, again = await health.detail(), await health.detail()
    assert {name: part["ok"] for name, part in detail.items()} == {"database": True, "store local": False}
    assert detail["store local"]["reason"] == "No answer in 2 s."
    assert 2000 <= detail["store local"]["ms"] < 10_000
    assert again["store local"] == detail["store local"]  # which is not asked anew


@pytest.mark.parametrize("prepared", ["postgresql"], indirect=True)
@pytest.mark.needs("postgresql")
async def test_health_without_a_database(prepared: Prepared, tmp_path: Path) -> None:
    """The service is alive, and says that it cannot work; once the database is back it can."""
    async with running(prepared, tmp_path) as service:
        cluster = prepared.cluster
        assert cluster is not None
        await asyncio.to_thread(cluster.kill)
        assert (await service.call(None, "GET", "/healthcheck")).status_code == 503
        assert (await service.call(None, "GET", "/healthcheck/live")).status_code == 200
        await asyncio.to_thread(cluster.start)
        await asyncio.sleep(1.1)
        assert (await service.call(None, "GET", "/healthcheck")).status_code == 200


@pytest.mark.parametrize("prepared", ["postgresql"], indirect=True)
@pytest.mark.needs("postgresql")
async def test_health_beside_a_silent_database(prepared: Prepared, tmp_path: Path) -> None:
    """One that takes questions and never answers is told of within seconds; the bearer token needs none."""
    async with running(prepared, tmp_path, metrics=MetricsSettings(token=TOKEN)) as service:
        bearer = {"Authorization": f"Bearer {TOKEN}"}
        assert (await service.call(None, "GET", "/healthcheck/detail", headers=bearer)).status_code == 200
        await asyncio.sleep(1.1)
        assert prepared.cluster is not None
        prepared.cluster.signal(signal.SIGSTOP)
        try:
            started = time.monotonic()
            assert (await service.call(None, "GET", "/healthcheck")).status_code == 503
            detail = await service.call(None, "GET", "/healthcheck/detail", headers=bearer)
            assert time.monotonic() - started < 8
        finally:
            prepared.cluster.signal(signal.SIGCONT)
        parts = detail.json()["parts"]
        assert (parts["database"]["ok"], parts["store local"]["ok"]) == (False, True)


async def test_a_store_that_is_not_mounted(service: Service) -> None:
    """An upload is 503 and makes no folder in its place; operators are told which part it is."""
    image = (await service.call("alice", "POST", "/v2/images", json=RAW)).json()["id"]
    folder = service.folder / "images"
    folder.rename(service.folder / "elsewhere")
    put = await service.call("alice", "PUT", f"/v2/images/{image}/file", content=b"x", headers=BINARY)
    assert (put.status_code, put.headers["retry-after"]) == (503, "5")
    assert not folder.exists()
    detail = await service.call("admin", "GET", "/healthcheck/detail")
    assert (detail.status_code, detail.json()["parts"]["store local"]["ok"]) == (503, False)
    (service.folder / "elsewhere").rename(folder)
    put = await service.call("alice", "PUT", f"/v2/images/{image}/file", content=b"x", headers=BINARY)
    assert put.status_code == 204


async def test_callers_have_a_rate(prepared: Prepared, tmp_path: Path) -> None:
    """Each project by itself: what is too much is 429 and says when to come again."""
    async with running(prepared, tmp_path, server=Server(rate_limit=2, rate_burst=5)) as service:
        answers = await asyncio.gather(*(service.call("alice", "GET", "/v2/images") for _ in range(8)))
        assert sorted(answer.status_code for answer in answers) == [200] * 5 + [429] * 3
        refused = next(answer for answer in answers if answer.status_code == 429)
        assert refused.headers["retry-after"] == "1"
        assert (await service.call("bob", "GET", "/v2/images")).status_code == 200
        await asyncio.sleep(1.1)
        assert (await service.call("alice", "GET", "/v2/images")).status_code == 200


def test_a_throttle_forgets_callers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its memory is bounded, and who calls all the time is not what it forgets."""
    monkeypatch.setattr("tintype.api.throttle._CALLERS", 3)
    throttle = Throttle(0.001, 1)
    throttle.acquire("a")
    for other in "bcdef":
        throttle.acquire(other)
        with pytest.raises(TooManyAttempts):
            throttle.acquire("a")


async def test_pages_of_other_origins(prepared: Prepared, tmp_path: Path) -> None:
    """Named origins may call, and read the headers of resumable uploads; others get no leave."""
    async with running(prepared, tmp_path, server=Server(cors_origins=("https://page.example",))) as service:
        ask = {"Access-Control-Request-Method": "PATCH", "Access-Control-Request-Headers": "x-auth-token"}
        path = "/v2/images/x/uploads/y"
        allowed = await service.call(None, "OPTIONS", path, headers={"Origin": "https://page.example", **ask})
        assert allowed.headers["access-control-allow-origin"] == "https://page.example"
        refused = await service.call(None, "OPTIONS", path, headers={"Origin": "https://evil.example", **ask})
        assert "access-control-allow-origin" not in refused.headers
        shown = await service.call("alice", "GET", "/v2/images", headers={"Origin": "https://page.example"})
        assert "Upload-Offset" in shown.headers["access-control-expose-headers"]


async def test_by_default_no_page_may_call(service: Service) -> None:
    """Nothing about other origins is said unless it is asked for."""
    answer = await service.call("alice", "GET", "/v2/images", headers={"Origin": "https://page.example"})
    assert not [name for name in answer.headers if name.startswith("access-control")]


class Collector(BaseHTTPRequestHandler):
    """Takes what an exporter of traces sends."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        self.server.bodies.append((self.path, body))  # type: ignore[attr-defined]
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        """Be quiet."""


@pytest.mark.parametrize("prepared", ["sqlite"], indirect=True)
async def test_traces(prepared: Prepared, tmp_path: Path) -> None:
    """Each request is a span in the caller's trace, at the collector that the settings name."""
    collector = HTTPServer(("127.0.0.1", 0), Collector)
    collector.bodies = []  # type: ignore[attr-defined]
    threading.Thread(target=collector.serve_forever, daemon=True).start()
    trace = "0af7651916cd43dd8448eb211c80319c"
    endpoint = f"http://127.0.0.1:{collector.server_port}"
    try:
        async with running(prepared, tmp_path, tracing=TracingSettings(endpoint=endpoint)) as service:
            parent = {"traceparent": f"00-{trace}-b7ad6b7169203331-01"}
            assert (await service.call("alice", "GET", "/v2/images", headers=parent)).status_code == 200
            for _ in range(100):
                if collector.bodies:  # type: ignore[attr-defined]
                    break
                await asyncio.sleep(0.1)
        path, body = collector.bodies[0]  # type: ignore[attr-defined]
        assert path == "/v1/traces"
        assert bytes.fromhex(trace) in body
        assert b"/v2/images" in body
        assert service.tokens["alice"].encode() not in body
    finally:
        collector.shutdown()
        collector.server_close()


@pytest.mark.e2e
def test_the_numbers_of_all_workers(tmp_path: Path) -> None:
    """Whichever worker is asked tells those of all."""
    with started(tmp_path / "data", "--workers", "2", TINTYPE_METRICS_TOKEN=TOKEN) as server:
        api = Api(server)
        for _ in range(40):  # on connections of their own, which go to either
            httpx2.get(f"{server.url}/v2/images", headers=api.headers)
        bearer = {"Authorization": f"Bearer {TOKEN}"}
        for _ in range(6):
            found = numbers(httpx2.get(f"{server.url}/metrics", headers=bearer).text)
            assert found["tintype_requests_total", "GET", "/v2/images", "200"] == 40
