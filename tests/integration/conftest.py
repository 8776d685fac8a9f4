"""The fixture that most tests of the admin service share."""

from collections.abc import AsyncIterator

import pytest

from runtime.settings import Kafka, Postgres
from tests.support.services.admin import Admin, running_admin
from tests.support.stack import Stack


@pytest.fixture
async def admin(postgres: Postgres, stack: Stack) -> AsyncIterator[Admin]:
    """Run the admin service on the real database and broker; no service consumes its topics."""
    kafka = Kafka(bootstrap_servers=stack.bootstrap_servers, topic_prefix="nobody.")
    async with running_admin(postgres, kafka) as running:
        yield running
