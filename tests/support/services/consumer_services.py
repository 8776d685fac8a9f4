"""The three consumer services in this process, on a test's database, topics and mail server."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from runtime.settings import Kafka, Postgres
from services.notifier.app import create_app as notifier_app
from services.notifier.settings import Settings as NotifierSettings
from services.persister.app import create_app as persister_app
from services.persister.settings import Settings as PersisterSettings
from tests.support.mail.smtp import SmtpServer
from tests.support.services.flusher import flusher


@contextlib.asynccontextmanager
async def running_consumers(
    kafka: Kafka, postgres: Postgres, smtp: SmtpServer, **notifier_settings: Any
) -> AsyncIterator[None]:
    """Run persister, notifier and flusher until the block ends."""
    notifier = NotifierSettings.model_validate(
        {
            "kafka": kafka,
            "postgres": postgres,
            "smtp": {"host": smtp.host, "port": smtp.port, "tls": False},
            "from_email": "hello@fast.example",
            "admin_email": "boss@fast.example",
            "alert_burst": 0,  # an alert for each lead
            **notifier_settings,
        }
    )
    async with contextlib.AsyncExitStack() as opened:
        for app in (persister_app(PersisterSettings(kafka=kafka, postgres=postgres)), notifier_app(notifier)):
            await opened.enter_async_context(app.router.lifespan_context(app))
        await opened.enter_async_context(flusher(kafka, postgres))
        yield
