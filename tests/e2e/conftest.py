"""An installation that is watched: its spans go to a collector, its mails to a server that can refuse."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio

from tests.support.collector import Collector, running_collector
from tests.support.installation import Installation, running_installation
from tests.support.smtp import SmtpServer, smtp_server
from tests.support.stack import Stack


@dataclass(frozen=True)
class Watched:
    """The installation, and what watches it."""

    installation: Installation
    collector: Collector
    smtp: SmtpServer


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def watched(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Watched]:
    """Started once a session; tests tell their leads apart by their ids."""
    folder = tmp_path_factory.mktemp("watched")
    with running_collector() as collector:
        async with (
            smtp_server() as smtp,
            running_installation(
                stack, folder, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, SMTP_PORT=str(smtp.port)
            ) as installation,
        ):
            yield Watched(installation, collector, smtp)
