"""What Prometheus is told of this service, by all of its processes on this host."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
    multiprocess,
)

VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"
"""Where the library keeps the numbers of several processes: read by it when it is imported."""
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_BUCKETS: Final = (*(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25), *(0.5, 1, 2.5, 5, 10, 30, 60, 300))


class Metrics:
    """The numbers. Whoever counts does so on them directly."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self._folder = os.environ.get(VARIABLE)
        self.requests = Counter(
            "tintype_requests", "Requests answered.", ("method", "route", "status"), registry=registry
        )
        self.seconds = Histogram(
            "tintype_request_seconds",
            "Seconds from a request's head to the last byte of its answer.",
            ("method", "route"),
            buckets=_BUCKETS,
            registry=registry,
        )
        self.running = Gauge(
            "tintype_requests_running", "Requests under way.", registry=registry, multiprocess_mode="livesum"
        )
        self.received = Counter("tintype_received_bytes", "Bytes of image data taken.", registry=registry)
        self.sent = Counter("tintype_sent_bytes", "Bytes of answers.", registry=registry)
        self.abandoned = Counter(
            "tintype_abandoned_uploads",
            "Uploads undone because nothing was heard of them.",
            registry=registry,
        )
        self.sweep_failures = Counter(
            "tintype_sweep_failures", "Sweeps that ended with an error.", registry=registry
        )
        if self._folder is None:
            ProcessCollector(registry=registry)

    def text(self) -> bytes:
        """Give all numbers as Prometheus reads them."""
        if self._folder is None:
            return generate_latest(self._registry)
        for path in Path(self._folder).glob("gauge_live*_*.db"):  # what died is not under way
            if not Path("/proc", path.stem.rpartition("_")[2]).exists():
                path.unlink(missing_ok=True)
        everybody = CollectorRegistry()
        multiprocess.MultiProcessCollector(everybody, self._folder)  # type: ignore[no-untyped-call]
        return generate_latest(everybody)


@contextlib.contextmanager
def shared() -> Iterator[None]:
    """Have the processes that are started inside keep their numbers together, in memory where there is some.

    On a disk that is full, a page that is mapped and not yet there ends the process that touches it.
    """
    memory = Path("/dev/shm")  # noqa: S108 (the folder below it is our own)
    with tempfile.TemporaryDirectory(prefix="tintype-", dir=memory if memory.is_dir() else None) as folder:
        os.environ[VARIABLE] = folder
        yield
