"""Replaces the process by the supervisor of the workers, if the gateway has several."""

import os
import sys

from runtime.settings import load
from runtime.worker import current_worker
from services.ingest.app import create_app
from services.ingest.settings import Settings

SUPERVISOR = "services.ingest.workers.supervisor"


def start_workers(default_port: int) -> None:
    """Return at once with one worker, or in a worker. Otherwise replace this process by the supervisor.

    The supervisor imports little, so that it needs little memory. Exits with a one-line error if a setting is
    invalid, as a gateway with one worker does.
    """
    settings = load(Settings)
    if settings.workers == 1 or current_worker():
        return
    create_app(settings)  # for its checks of the sites file and of the tokens
    http = settings.http
    arguments = [str(settings.workers), http.host, str(http.port or default_port)]
    command = [sys.executable, "-m", SUPERVISOR, *arguments, str(http.graceful_timeout_seconds)]
    os.execv(sys.executable, command)  # noqa: S606 - the supervisor keeps the process id
