"""The scripted SMTP server and the settings of the notifier's integration tests."""

from collections.abc import AsyncIterator

import pytest

from runtime.settings import Kafka, Postgres
from services.notifier.settings import Settings
from tests.support.mail.smtp import SmtpServer, smtp_server
from tests.support.services.notifier import notifier_settings, smtp_settings


@pytest.fixture
async def smtp() -> AsyncIterator[SmtpServer]:
    async with smtp_server() as server:
        yield server


@pytest.fixture
def settings(kafka: Kafka, postgres: Postgres, smtp: SmtpServer) -> Settings:
    return notifier_settings(kafka, postgres, smtp_settings(smtp))


@pytest.fixture
def quick(settings: Settings) -> Settings:
    """Settings with timeouts that are short enough to wait for."""
    return settings.model_copy(
        update={
            "envelope_timeout_seconds": 1.0,
            "answer_timeout_seconds": 1.0,
            "mail_timeout_seconds": 2.0,
            "lease_seconds": 3.0,
        }
    )
