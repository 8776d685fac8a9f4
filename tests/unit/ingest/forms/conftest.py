"""The gateway with the sites of the form tests."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.services.gateway import Gateway, run_gateway
from tests.unit.ingest.forms.test_endpoint import SITES


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    file = tmp_path / "sites.toml"
    file.write_text(SITES)
    async with run_gateway(file) as gateway:
        yield gateway
