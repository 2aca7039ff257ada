"""Traces by OpenTelemetry: a span for each request, in the caller's trace."""

from typing import Any

from tintype.extras import missing


def check_tracing() -> None:
    """Raise StartError if the extra is not installed."""
    try:
        import opentelemetry.exporter.otlp.proto.http.trace_exporter
        import opentelemetry.instrumentation.asgi
        import opentelemetry.sdk.trace  # noqa: F401 (each has a package of its own)
    except ImportError as error:
        raise missing("Tracing", "tracing", error) from None


def add_tracing(app: Any, endpoint: str, service: str) -> Any:
    """Wrap an ASGI application so that its requests are reported to an OTLP collector over HTTP.

    Raises StartError if the extra is not installed.
    """
    check_tracing()
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource.create({"service.name": service}))
    exporter = OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces")
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return OpenTelemetryMiddleware(app, tracer_provider=provider, exclude_spans=["receive", "send"])
