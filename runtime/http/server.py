"""Runs a service on uvicorn, with the same shutdown, logs and limits for all services."""

import contextlib
import gc
import resource

import uvicorn
from uvicorn.importer import import_from_string

from runtime.http.direct_route import DirectRoute, direct_protocol
from runtime.http.protocol import bounded_protocol
from runtime.http.security_headers import SecurityHeaders
from runtime.settings import Http, load


def serve(app: str, default_port: int, *, trust_proxy_headers: bool) -> None:
    """Serve an app until SIGTERM or SIGINT, then finish the open requests in time.

    `app` names the function that returns the app, such as `services.ingest.app:create_app`. The app's state
    may have a `direct_route`. With `trust_proxy_headers` the client's address is taken from the headers of a
    trusted proxy.
    """
    http = load(Http)
    _raise_open_file_limit()
    service = import_from_string(app)()
    route: DirectRoute | None = getattr(service.state, "direct_route", None)
    seconds = http.head_timeout_seconds
    tune_gc()
    uvicorn.run(
        SecurityHeaders(service),
        loop="runtime.event_loop:Loop",
        http=direct_protocol(seconds, route) if route else bounded_protocol(seconds),
        host=http.host,
        port=http.port or default_port,
        log_config=None,
        access_log=False,
        server_header=False,
        ws="none",
        proxy_headers=trust_proxy_headers,
        timeout_graceful_shutdown=http.graceful_timeout_seconds,
        timeout_keep_alive=30,
        lifespan="on",
    )


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
