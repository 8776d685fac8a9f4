"""The gateway's app for the tests of its routes."""

from collections.abc import AsyncIterator

import pytest

from tests.support.services.gateway import Gateway, run_gateway


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    async with run_gateway() as gateway:
        yield gateway
