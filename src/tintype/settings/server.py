"""Settings of the process: where it listens, what it writes, which database it uses."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from tintype.settings import forms


class Server(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where and how the service listens."""

    host: Annotated[str, Meta(description="Address to listen on.", extra={"form": forms.HOST})] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535, description="TCP port; 0 takes a free one.")] = 9292
    workers: Annotated[int, Meta(ge=1, le=256, description="Server processes.")] = 1
    public_url: Annotated[
        str | None,
        Meta(
            description="URL that clients reach the service by. Without it, the one each request came to.",
            extra={"form": forms.URL},
        ),
    ] = None
    tls_certificate: Annotated[
        str | None,
        Meta(description="File of the certificate and its chain (PEM). With it only HTTPS is spoken."),
    ] = None
    tls_key: Annotated[
        str | None, Meta(description="File of the certificate's key, if that is not beside it in one file.")
    ] = None
    trusted_proxies: Annotated[
        tuple[str, ...],
        Meta(
            description="Addresses or networks of proxies whose X-Forwarded-For, -Proto, -Host, -Port and "
            "-Prefix are believed.",
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
    rate_limit: Annotated[
        float, Meta(ge=0, description="Requests a second of each project and worker process; 0 for no limit.")
    ] = 0
    rate_burst: Annotated[int, Meta(ge=1, description="Requests that may come at once with it.")] = 100
    form_spool_limit: Annotated[
        int,
        Meta(
            ge=0,
            description="Bytes in `imports.scratch` of files that came to the dashboard in a form before its "
            "fields, in each worker process; a project may have half of it.",
        ),
    ] = 16 << 30
    silent_seconds: Annotated[
        int,
        Meta(
            ge=1,
            description="Seconds for which an upload may bring no byte before it is answered with 408; other "
            "requests with a body have 60 at most.",
        ),
    ] = 900
    unread_seconds: Annotated[
        int,
        Meta(
            ge=1,
            description="Seconds for which a client may read nothing of its answer before it is cut off.",
        ),
    ] = 60
    min_read_rate: Annotated[
        int,
        Meta(
            ge=0,
            description="Minimum rate in bytes per second at which a client must read its answer, averaged "
            "over two minutes of waiting; 0 for no limit.",
        ),
    ] = 1024
    drain_seconds: Annotated[
        int, Meta(ge=0, description="How long requests in flight may take to end when the service stops.")
    ] = 30
    metadata_body_limit: Annotated[
        int, Meta(ge=1024, description="Bytes that a request body may have, image data apart.")
    ] = 1 << 20


class DatabaseSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The database."""

    url: Annotated[
        str | None,
        Meta(
            description="PostgreSQL, as in postgresql://user@host/name. Without it, SQLite in `data_dir`.",
            extra={"form": forms.POSTGRES, "secret": True},
        ),
    ] = None
    connections: Annotated[
        int, Meta(ge=3, le=1000, description="Connections to PostgreSQL of each server process at most.")
    ] = 10


class LogSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Logs, on standard error."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="The least important events to write.")
    ] = "info"
    style: Annotated[
        Literal["auto", "json", "console"],
        Meta(description="json for machines, console for people; auto asks whether there is a terminal."),
    ] = "auto"


class MetricsSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Numbers for Prometheus."""

    token: Annotated[
        str | None,
        Meta(
            description="Bearer token for `/metrics` and `/healthcheck/detail`; admins may use their own.",
            extra={"form": forms.BEARER, "secret": True},
        ),
    ] = None


class TracingSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Traces by OpenTelemetry."""

    endpoint: Annotated[
        str | None,
        Meta(
            description="OTLP collector (HTTP) that is told of each request, such as http://localhost:4318.",
            extra={"form": forms.URL_WITH_LOGIN},
        ),
    ] = None
    service: Annotated[str, Meta(description="Name of the service in traces.")] = "tintype"


class DashboardSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The page for people, and the REST that it stands on."""

    enabled: Annotated[bool, Meta(description="Whether `/dashboard/` and `/api/` are served.")] = True
    streams: Annotated[
        int,
        Meta(ge=1, description="Open pages that each server process tells of tasks (event streams) at most."),
    ] = 500
    user_streams: Annotated[int, Meta(ge=1, description="How many of them one user may have.")] = 20
