"""The gateway's app for the tests of its routes."""

from collections.abc import AsyncIterator

import pytest

from tests.support.gateway import Gateway, gateway


@pytest.fixture
async def ours() -> AsyncIterator[Gateway]:
    async with gateway() as made:
        yield made
