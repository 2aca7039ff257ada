"""Metrics for Prometheus, of all processes of this service on this host."""

import contextlib
import hashlib
import os
import shutil
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

from tintype.errors import StartError

VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"
"""Folder where the library keeps the metrics of several processes; it reads this when it is imported."""
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_BUCKETS: Final = (*(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25), *(0.5, 1, 2.5, 5, 10, 30, 60, 300))


class Metrics:
    """The metrics, as attributes that the service updates directly."""

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
            "tintype_requests_running",
            "Requests in progress.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.received = Counter("tintype_received_bytes", "Bytes of image data received.", registry=registry)
        self.sent = Counter("tintype_sent_bytes", "Bytes of answers sent.", registry=registry)
        self.abandoned = Counter(
            "tintype_abandoned_uploads",
            "Uploads rolled back because their process or client was gone.",
            registry=registry,
        )
        self.jobs = Counter("tintype_jobs", "Jobs that have ended.", ("type", "outcome"), registry=registry)
        self.sweep_failures = Counter(
            "tintype_sweep_failures", "Runs of the clean-up that failed.", registry=registry
        )
        if self._folder is None:
            ProcessCollector(registry=registry)

    def text(self) -> bytes:
        """Return the metrics in Prometheus's text format."""
        if self._folder is None:
            return generate_latest(self._registry)
        for path in Path(self._folder).glob("gauge_live*_*.db"):  # requests of dead processes are not running
            if not Path("/proc", path.stem.rpartition("_")[2]).exists():
                path.unlink(missing_ok=True)
        everybody = CollectorRegistry()
        multiprocess.MultiProcessCollector(everybody, self._folder)  # type: ignore[no-untyped-call]
        return generate_latest(everybody)


@contextlib.contextmanager
def share_metrics(data_dir: Path) -> Iterator[None]:
    """Share metrics among the processes that are started inside, in memory if the host has /dev/shm.

    On a full disk, touching a mapped page without storage kills the process. The folder's name is always
    the same, so that the next start deletes what a killed service has left.
    """
    memory = Path("/dev/shm")  # noqa: S108 (the folder below it is our own)
    digest = hashlib.sha256(str(data_dir.resolve()).encode()).hexdigest()[:16]
    folder = (memory if memory.is_dir() else data_dir) / f"tintype-{os.getuid()}-{digest}"
    shutil.rmtree(folder, ignore_errors=True)
    try:
        folder.mkdir(mode=0o700)
    except OSError as error:
        raise StartError(f"Cannot keep metrics in {folder}: {error.strerror}.") from None
    os.environ[VARIABLE] = str(folder)
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)
