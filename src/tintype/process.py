"""The server process: its workers, its shutdown, and what it reloads at run time.

The first SIGINT or SIGTERM lets requests in flight end within `server.drain_seconds`; the second ends
them now. SIGHUP reloads the certificate and the log level, as does a renewed certificate by itself.
"""

import asyncio
import contextlib
import faulthandler
import functools
import gc
import multiprocessing.process
import os
import signal
import ssl
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Final

import structlog
import uvicorn
from starlette.types import ASGIApp
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess
from uvicorn.supervisors.multiprocess import Process

from tintype.allocator import keep_few_arenas
from tintype.api.protocol import BoundedConfig
from tintype.data_folder import join_data_folder
from tintype.errors import TintypeError
from tintype.listener import Listener
from tintype.observability.logs import make_logger, route_libraries, set_level
from tintype.observability.metrics import share_metrics
from tintype.settings import Settings
from tintype.wiring.service import Service

Reread = Callable[[], Settings]
"""Reads the settings again from their sources."""

_BACKLOG: Final = 2048
_CERTIFICATE_SECONDS: Final = 60
"""How often the files of the certificate are checked for a renewal."""
_ABORT_SECONDS: Final = 1.0
"""Time for the last answers to reach clients after the second signal."""


def serve(service: Service, listener: Listener, reread: Reread) -> None:
    """Serve until a signal arrives."""
    settings = service.settings
    route_libraries(service.log)
    config = _Config(service, reread)
    server = _Server(config)

    def leave(_signal: int, _frame: object) -> None:
        if server.started:  # uvicorn raises the signal again when it has drained
            sys.exit(0)
        os._exit(0)  # at once: an exception raised in a callback of the interpreter would be lost

    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, leave)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # settings that are being loaded need not be reloaded
    if settings.server.workers > 1:
        with share_metrics(settings.data_dir):
            _Supervisor(config, sockets=[listener]).run()
    else:
        server.run(sockets=[listener])


class _Config(BoundedConfig):
    """uvicorn's configuration, and the signals that its processes handle."""

    def __init__(self, service: Service, reread: Reread) -> None:
        chosen = service.settings.server
        super().__init__(
            functools.partial(_app, service),
            factory=True,
            silent_seconds=chosen.silent_seconds,
            unread_seconds=chosen.unread_seconds,
            min_read_rate=chosen.min_read_rate,
            loop="uvloop",
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # ForwardedRequests supports more of them
            ssl_certfile=chosen.tls_certificate,
            ssl_keyfile=chosen.tls_key,
            workers=chosen.workers,
            backlog=_BACKLOG,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=chosen.drain_seconds,
        )
        self.drain_seconds = chosen.drain_seconds
        self.on_terminal = sys.stdin is not None and sys.stdin.isatty()
        self._reread = reread
        self._log_style = service.settings.log.style
        self._certificate_files: object = None

    def make_log(self) -> structlog.typing.FilteringBoundLogger:
        """Return a new logger, created on demand because this configuration is sent to other processes."""
        return make_logger(self._log_style)

    def load(self) -> None:
        """Load the application in the process that serves it, and take over that process's signals."""
        super().load()
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # loaded, but not to be served
            return
        signal.signal(signal.SIGHUP, lambda *_: loop.call_soon_threadsafe(self._hang_up))
        if self.terminal_is_gone():  # its signal came before the handler was set
            loop.call_soon(os.kill, os.getpid(), signal.SIGTERM)
        with contextlib.suppress(TintypeError):  # a worker may replace one that has reloaded
            set_level(self._reread().log.level)
        if multiprocessing.parent_process() is not None:  # a worker: its supervisor handles the rest
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGQUIT, lambda *_: loop.call_soon_threadsafe(self.end_requests))
        if self.ssl is not None:
            self._certificate_files = self._stat_certificate()
            loop.call_later(_CERTIFICATE_SECONDS, self._watch_certificate)

    def end_requests(self) -> None:
        """End requests in flight: those without a response get 503, the others are aborted."""
        if self.server_state is None:  # no client has connected yet
            return
        for task in list(self.server_state.tasks):
            task.cancel()
        asyncio.get_running_loop().call_later(_ABORT_SECONDS, self._abort_connections)

    def terminal_is_gone(self) -> bool:
        """Return whether the terminal that the service was started in has been closed."""
        return self.on_terminal and not os.isatty(0)

    def _abort_connections(self) -> None:
        for connection in list(self.server_state.connections) if self.server_state else ():
            connection.transport.abort()

    def _hang_up(self) -> None:
        if self.terminal_is_gone():
            os.kill(os.getpid(), signal.SIGTERM)
            return
        log = self.make_log()
        try:
            level = self._reread().log.level
        except TintypeError as error:
            log.warning("settings were not reloaded", reason=error.message)
        else:
            log.warning("log level reloaded", level=level)
            set_level(level)
        self._reload_certificate()

    def _watch_certificate(self) -> None:
        asyncio.get_running_loop().call_later(_CERTIFICATE_SECONDS, self._watch_certificate)
        if self._stat_certificate() != self._certificate_files:
            self._reload_certificate()

    def _reload_certificate(self) -> None:
        """Load the certificate from its files again; keep the old one if the new one cannot be used."""
        if self.ssl is None or self.ssl_certfile is None:
            return
        log, files = self.make_log(), self._stat_certificate()
        try:
            ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(
                self.ssl_certfile, self.ssl_keyfile, password=""
            )
            self.ssl.load_cert_chain(self.ssl_certfile, self.ssl_keyfile, password="")
        except OSError as error:  # ssl.SSLError is one; written half, perhaps: the next look may succeed
            log.warning("certificate was not reloaded", file=str(self.ssl_certfile), reason=str(error))
        else:
            self._certificate_files = files
            log.info("certificate reloaded", file=str(self.ssl_certfile))

    def _stat_certificate(self) -> object:
        found = []
        for path in (self.ssl_certfile, self.ssl_keyfile):
            with contextlib.suppress(OSError):
                status = Path(path or "").stat()
                found.append((status.st_ino, status.st_mtime_ns, status.st_size))
        return found


class _Server(uvicorn.Server):
    """A single server process, which handles signals itself."""

    config: _Config

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """Drain at the first signal, end at the second. As a signal handler it only schedules the work."""
        again = self.should_exit
        self._captured_signals.append(sig)
        self.should_exit = True
        with contextlib.suppress(RuntimeError):  # no loop yet, or no longer
            loop = asyncio.get_running_loop()
            loop.call_soon_threadsafe(self.config.end_requests if again else self._announce)

    def _announce(self) -> None:
        if self.server_state.tasks:
            announce_drain(self.config.make_log(), self.config.drain_seconds)


class _Supervisor(Multiprocess):
    """The parent of several server processes. It alone decides when they stop."""

    config: _Config

    _hurry = False

    def handle_int(self) -> None:
        """Drain at the first signal, end requests at the second."""
        if self.should_exit.is_set():
            self._hurry = True
            return
        announce_drain(self.config.make_log(), self.config.drain_seconds)
        self.should_exit.set()

    handle_term = handle_int

    def handle_hup(self) -> None:
        """Signal each worker to reload; end the service if the terminal was closed."""
        if self.config.terminal_is_gone():
            self.handle_int()
            return
        for process in self.processes:  # the signal would kill one that is still starting
            process.wait_until_ready(self.config.timeout_worker_healthcheck, self.should_exit)
        self._signal_workers(signal.SIGHUP)

    def join_all(self) -> None:
        """Wait for the workers; end their requests once a second signal comes."""
        workers = [process.process for process in self.processes]
        while alive := [worker for worker in workers if worker.is_alive()]:
            self.handle_signals()
            if self._hurry:
                self._hurry = False
                self._signal_workers(signal.SIGQUIT)
            alive[0].join(0.1)

    def keep_subprocess_alive(self) -> None:
        """Replace workers that have died; stop if one could not start, because the others could not either.

        uvicorn would also kill a worker that does not answer for five seconds. On a busy host one that
        starts takes longer, and would be killed again and again.
        """
        for at, worker in enumerate(self.processes):
            if worker.process.is_alive():
                continue
            code = worker.process.exitcode
            self.config.make_log().error("worker process died", pid=worker.pid, reason=_ending(code))
            if code == STARTUP_FAILURE:
                self.should_exit.set()
                return
            self.processes[at] = Process(self.config, self.sockets)
            self.processes[at].start()

    def _signal_workers(self, sig: signal.Signals) -> None:
        for process in self.processes:
            if process.pid is not None and process.process.is_alive():
                os.kill(process.pid, sig)


def _ending(code: int | None) -> str:
    """Return how a process ended: the name of a signal, or its exit status."""
    try:
        return signal.Signals(-(code or 0)).name
    except ValueError:
        return f"exit status {code}"


def announce_drain(log: structlog.typing.FilteringBoundLogger, seconds: int) -> None:
    """Log that the service waits for requests in flight, for how long, and how to skip that."""
    with contextlib.suppress(OSError):  # the terminal may be gone
        log.info(
            "stopping: waiting for requests in flight; a second signal (Ctrl-C) ends them now",
            seconds=seconds,
        )


def _app(service: Service) -> ASGIApp:
    keep_few_arenas()
    route_libraries(service.log)
    parent = multiprocessing.parent_process()
    if parent is not None:  # which has locked the folder: this process must not outlive it
        join_data_folder(service.settings.data_dir)
        threading.Thread(target=_exit_with_parent, args=[parent], daemon=True).start()
    faulthandler.enable()  # a crash in a library, such as librbd, shows where each thread was
    app = service.app
    gc.collect()
    gc.freeze()  # start-up objects stay: full collections that include them pause requests for 60 ms
    return app


def _exit_with_parent(parent: multiprocessing.process.BaseProcess) -> None:
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
