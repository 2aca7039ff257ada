"""Settings of the server process: listening, logs, database and dashboard."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from tintype.settings import forms


class Server(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The HTTP server."""

    host: Annotated[str, Meta(description="Address to listen on.", extra={"form": forms.HOST})] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535, description="TCP port; 0 chooses a free one.")] = 9292
    workers: Annotated[int, Meta(ge=1, le=256, description="Number of server processes.")] = 1
    threads: Annotated[
        int,
        Meta(ge=4, le=1024, description="Threads of each server process that read, hash and write data."),
    ] = 32
    public_url: Annotated[
        str | None,
        Meta(
            description="URL at which clients reach the service. By default, the URL of each request.",
            extra={"form": forms.URL},
        ),
    ] = None
    tls_certificate: Annotated[
        str | None,
        Meta(description="File of the certificate and its chain (PEM). If set, only HTTPS is served."),
    ] = None
    tls_key: Annotated[
        str | None, Meta(description="File of the certificate's key, if it is not in the same file.")
    ] = None
    trusted_proxies: Annotated[
        tuple[str, ...],
        Meta(
            description="Addresses or networks of proxies whose X-Forwarded-For, -Proto, -Host, -Port and "
            "-Prefix headers are trusted.",
            extra={"form": forms.NETWORK},
        ),
    ] = ()
    cors_origins: Annotated[
        tuple[str, ...],
        Meta(
            description="Origins of web pages that may call the API from browsers; * for all.",
            extra={"form": forms.ORIGIN},
        ),
    ] = ()
    docs: Annotated[
        bool,
        Meta(description="Whether `/openapi.json`, the description of the API, and `/docs` are served."),
    ] = True
    rate_limit: Annotated[
        float, Meta(ge=0, description="Requests per second of a project in each process; 0 for no limit.")
    ] = 0
    rate_burst: Annotated[int, Meta(ge=1, description="Burst that the rate limit allows.")] = 100
    form_spool_limit: Annotated[
        int,
        Meta(
            ge=0,
            description="Maximum size in bytes of files in `imports.scratch` that a dashboard form sent "
            "before its fields, in each server process; a project may use half of it.",
        ),
    ] = 16 << 30
    silent_seconds: Annotated[
        int,
        Meta(
            ge=1,
            description="Seconds without a byte after which an upload gets 408; for other requests with a "
            "body, at most 60.",
        ),
    ] = 900
    unread_seconds: Annotated[
        int,
        Meta(
            ge=1,
            description="Seconds after which a client that reads nothing of its response is disconnected.",
        ),
    ] = 60
    min_read_rate: Annotated[
        int,
        Meta(
            ge=0,
            description="Minimum rate in bytes per second at which a client must read its response, "
            "averaged over two minutes of waiting; 0 for no limit.",
        ),
    ] = 1024
    drain_seconds: Annotated[
        int, Meta(ge=0, description="Seconds that requests in flight have to complete at shutdown.")
    ] = 30
    metadata_body_limit: Annotated[
        int, Meta(ge=1024, description="Maximum size in bytes of a request body without image data.")
    ] = 1 << 20


class DatabaseSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The database."""

    url: Annotated[
        str | None,
        Meta(
            description="URL such as postgresql://user@host/name. By default, SQLite in `data_dir`.",
            extra={"form": forms.POSTGRES, "secret": True},
        ),
    ] = None
    connections: Annotated[
        int, Meta(ge=3, le=1000, description="Maximum connections to PostgreSQL of each server process.")
    ] = 10
    list_queue: Annotated[
        int,
        Meta(
            ge=1,
            description="Maximum number of lists with a new combination of filters and sort keys that wait "
            "to be compiled in each server process; excess requests get 503. Projects take turns.",
        ),
    ] = 1000
    list_queue_per_project: Annotated[
        int,
        Meta(
            ge=1,
            description="Maximum number of such waiting lists of one project; its excess requests get 429.",
        ),
    ] = 50


class LogSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Logs, on standard error."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="Minimum level of logged events.")
    ] = "info"
    style: Annotated[
        Literal["auto", "json", "console"],
        Meta(description="json for machines, console for people; auto is console on a terminal, else json."),
    ] = "auto"


class MetricsSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Metrics for Prometheus."""

    token: Annotated[
        str | None,
        Meta(
            description="Bearer token for `/metrics` and `/healthcheck/detail`; an admin's token in "
            "X-Auth-Token works, too.",
            extra={"form": forms.BEARER, "secret": True},
        ),
    ] = None


class TracingSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Traces by OpenTelemetry."""

    endpoint: Annotated[
        str | None,
        Meta(
            description="OTLP collector (HTTP) for a span per request, such as http://localhost:4318.",
            extra={"form": forms.URL_WITH_LOGIN},
        ),
    ] = None
    service: Annotated[str, Meta(description="Name of the service in traces.")] = "tintype"


class DashboardSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The dashboard and its REST API."""

    enabled: Annotated[bool, Meta(description="Whether `/dashboard/` and `/api/` are served.")] = True
    streams: Annotated[
        int,
        Meta(ge=1, description="Maximum number of event streams for open pages in each server process."),
    ] = 500
    user_streams: Annotated[int, Meta(ge=1, description="Maximum number of event streams of a user.")] = 20
