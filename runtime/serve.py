"""How every service is served: one uvicorn set-up, so that drain, logs and limits are the same."""

import uvicorn

from runtime.settings import Http, load


def serve(app: str, default_port: int) -> None:
    """Serve `module:create_app` until SIGTERM or SIGINT, then drain within the graceful timeout."""
    http = load(Http)
    uvicorn.run(
        app,
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
