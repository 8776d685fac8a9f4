"""`python -m deploy.container.all_in_one`: run all services and the edge in one container, to try FASTCore.

It needs an external Kafka, PostgreSQL and mail server. In production, use one container for each service.
"""

import os
import sys
import tempfile
from pathlib import Path

from deploy.settings import SERVICE_SETTINGS, missing_variables
from runtime.settings import load
from services.roles import PORTS

EDGE_PORT = 8000
# Longer than a service's drain (50 s), shorter than the container's grace period (60 s).
STOP_SECONDS = 55


def render(folder: Path) -> str:
    """Return supervisord's configuration. It restarts programs that exit, and writes all logs to stdout.

    supervisord writes its pid file into `folder`. Caddy stores its state there.
    """
    commands = {name: f"-m services {name}" for name in PORTS}
    commands["edge"] = f"-m deploy.embedded.servers.edge --host 0.0.0.0 --port {EDGE_PORT} --folder {folder}"
    programs = [
        f"""\
[program:{name}]
command = {sys.executable} {command}
environment = FASTCORE_HTTP_HOST="127.0.0.1",FASTCORE_HTTP_PORT="{PORTS.get(name, EDGE_PORT)}"
autorestart = true
startretries = 1000
stopwaitsecs = {STOP_SECONDS}
stdout_logfile = /dev/stdout
stdout_logfile_maxbytes = 0
redirect_stderr = true
"""
        for name, command in commands.items()
    ]
    # One group, so that all programs get their SIGTERM at the same time.
    head = f"""\
[supervisord]
nodaemon = true
silent = true
logfile = /dev/null
logfile_maxbytes = 0
pidfile = {folder}/supervisord.pid

[group:fastcore]
programs = {",".join(commands)}
"""
    return "\n".join([head, *programs])


def main() -> None:
    """Check the settings of all services, then replace this process by supervisord."""
    missing = sorted({name for settings in SERVICE_SETTINGS for name in missing_variables(settings)})
    if missing:
        sys.exit(
            f"set {', '.join(missing)}: docker run --env-file .env fastcore (.env.example explains them)"
        )
    for settings in SERVICE_SETTINGS:
        load(settings)
    urls = {name: f"http://127.0.0.1:{port}" for name, port in PORTS.items()}
    os.environ.setdefault("FASTCORE_ADMIN_GATEWAY_URLS", urls["ingest"])
    os.environ.setdefault(
        "FASTCORE_ADMIN_SERVICE_URLS", ",".join(f"{name}={url}" for name, url in urls.items())
    )
    os.environ.setdefault("FASTCORE_FLUSHER_GATEWAY_URL", urls["ingest"])
    folder = Path(tempfile.mkdtemp(prefix="fastcore-"))
    configuration = folder / "supervisord.conf"
    configuration.write_text(render(folder))
    command = [sys.executable, "-m", "supervisor.supervisord", "-c", str(configuration)]
    os.execv(sys.executable, command)  # noqa: S606 - supervisord must be the container's main process


if __name__ == "__main__":
    main()
