"""Runs services on uvicorn, with the same shutdown, logs and limits for all services.

A process serves one service, or several of them, each on its own port. Several services share one event loop.
"""

import asyncio
import contextlib
import gc
import resource
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from contextvars import Context, copy_context
from types import FrameType
from typing import Final, NamedTuple

import uvicorn
from fastapi import FastAPI
from uvicorn.config import STARTUP_FAILURE
from uvicorn.server import HANDLED_SIGNALS

from runtime import event_loop
from runtime.current_service import set_current_service
from runtime.http.direct_route import DirectRoute, direct_protocol
from runtime.http.protocol import bounded_protocol
from runtime.http.request_metrics import RequestMetrics
from runtime.http.security_headers import SecurityHeaders
from runtime.http.uvicorn_server import Server, run
from runtime.settings import Http, load
from runtime.workarounds.httpcore import remember_missing_module
from runtime.worker import current_worker

# After this time a service closes an idle connection.
KEEP_ALIVE_SECONDS: Final = 30


class Service(NamedTuple):
    """A service to run: its name, and the function that returns its app.

    The app's state may have a `direct_route`. With `trust_proxy_headers` the client's address is taken from
    the headers of a trusted proxy.
    """

    name: str
    create_app: Callable[[], FastAPI]
    port: int
    trust_proxy_headers: bool = False


def serve(service: Service) -> None:
    """Serve one service until SIGTERM or SIGINT, then finish the open requests in time.

    A worker accepts connections from the sockets of its supervisor.
    """
    http = load(Http)
    _raise_open_file_limit()
    config = _server_config(service, http, http.port or service.port)
    tune_gc()
    worker = current_worker()
    run(config, [socket.socket(fileno=each) for each in worker.listeners] if worker else None)


def serve_all(services: Sequence[Service], shared: AbstractAsyncContextManager[None]) -> None:
    """Serve several services in one event loop until SIGTERM or SIGINT.

    `shared` is opened before the first service starts, and closed after the last one has stopped. At a signal
    all services stop at the same time, as several processes would. If one of them cannot start, all stop, and
    the process exits with 3. Each app is created in a context of its own, which its tasks inherit. Exits
    with the service's name and one line if its settings are invalid.
    """
    http = load(Http)
    _raise_open_file_limit()
    ports = {**{each.name: each.port for each in services}, **http.ports_by_service}
    group = _ServerGroup()
    for service in services:
        context = copy_context()
        context.run(set_current_service, service.name)
        try:
            config = context.run(_server_config, service, http, ports[service.name])
        except SystemExit as error:
            sys.exit(f"{service.name}: {error.code}" if isinstance(error.code, str) else error.code)
        group.add(config, context)
    tune_gc()
    with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C, after the drain
        event_loop.run(group.run(shared))


def _server_config(service: Service, http: Http, port: int) -> uvicorn.Config:
    remember_missing_module()
    app = service.create_app()
    route: DirectRoute | None = getattr(app.state, "direct_route", None)
    seconds = http.head_timeout_seconds
    return uvicorn.Config(
        RequestMetrics(SecurityHeaders(app)),
        loop="runtime.event_loop:Loop",
        http=direct_protocol(seconds, route) if route else bounded_protocol(seconds),
        host=http.host,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        ws="none",
        proxy_headers=service.trust_proxy_headers,
        timeout_graceful_shutdown=http.graceful_timeout_seconds,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        lifespan="on",
    )


# For the blocking work of all services. asyncio's default, six on two cores, is enough for one service.
THREADS: Final = 64


class _GroupServer(Server):
    """A server without signal handlers of its own: its group has them."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _ServerGroup:
    """The servers of one event loop. They stop together."""

    def __init__(self) -> None:
        self._servers: list[tuple[_GroupServer, Context]] = []
        self._signals: list[int] = []

    def add(self, config: uvicorn.Config, context: Context) -> None:
        """Add a server, which runs in this context."""
        self._servers.append((_GroupServer(config), context))

    async def run(self, shared: AbstractAsyncContextManager[None]) -> None:
        """Run all servers inside of `shared`. Exits with `STARTUP_FAILURE` if one of them did not start."""
        with self._handle_signals():
            # Six services share the threads: exports must not hold up the gateway's spool.
            asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(THREADS))
            async with shared:
                tasks = [
                    asyncio.create_task(self._run_one(server), context=context)
                    for server, context in self._servers
                ]
                # All of them stop before `shared` closes, also if one raises an error.
                ended = await asyncio.gather(*tasks, return_exceptions=True)
            if errors := [each for each in ended if isinstance(each, BaseException)]:
                raise errors[0]
        if not all(server.started for server, _ in self._servers):
            sys.exit(STARTUP_FAILURE)

    async def _run_one(self, server: _GroupServer) -> None:
        try:
            await server.serve()
        except SystemExit:  # its port is in use, or its lifespan failed: uvicorn has logged it
            server.started = False
        finally:
            self._stop()

    def _stop(self) -> None:
        for server, _ in self._servers:
            server.handle_exit(signal.SIGTERM, None)

    @contextlib.contextmanager
    def _handle_signals(self) -> Iterator[None]:
        """Pass each signal on to all servers. At the end, raise it again, as uvicorn does."""
        original = {number: signal.signal(number, self._handle_signal) for number in HANDLED_SIGNALS}
        try:
            yield
        finally:
            for number, handler in original.items():
                signal.signal(number, handler)
        for captured in reversed(self._signals):
            signal.raise_signal(captured)

    def _handle_signal(self, number: int, frame: FrameType | None) -> None:
        self._signals.append(number)
        for server, _ in self._servers:
            server.handle_exit(number, frame)


def _raise_open_file_limit() -> None:
    """Raise the soft limit on open files to at most 65,536. Idle connections exhaust the usual 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 65_536)), hard))


def tune_gc() -> None:
    """Exclude the objects that exist at start from garbage collection, and collect less often.

    The imports create some 87,000 objects that live until the process ends. Checking them took 75 of the
    gateway's 350 us per request (on a busy machine). Most other objects are freed by reference counting at
    once. Only cycles are freed a little later.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)
