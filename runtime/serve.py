"""How every service is served: one uvicorn set-up, so that drain, logs and limits are the same."""

import contextlib
import resource

import uvicorn

from runtime.arrival import bounded_arrival
from runtime.settings import Http, load


def serve(app: str, default_port: int) -> None:
    """Serve `module:create_app` until SIGTERM or SIGINT, then drain within the graceful timeout."""
    http = load(Http)
    _allow_connections()
    uvicorn.run(
        app,
        http=bounded_arrival(http.head_timeout_seconds),
        factory=True,
        host=http.host,
        port=http.port or default_port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=http.graceful_timeout_seconds,
        timeout_keep_alive=30,
        lifespan="on",
    )


def _allow_connections() -> None:
    """Raise the soft limit on open files, often 1,024: idle connections must not use it up."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 65_536)), hard))
