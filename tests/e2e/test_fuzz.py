"""The last step of `make fuzz` on a real installation: a stored lead is found, and a lost one is named."""

from uuid import uuid4

import pytest

from tests.e2e.conftest import Watched
from tests.fuzz.installation import run_ledger, wait_until_stored

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_only_an_accepted_lead_without_a_row_is_lost(watched: Watched) -> None:
    installation = watched.installation
    answer = await installation.post({"email": "fuzz@example.com", "message": "Please call me."})
    stored, lost = answer.json()["leadId"], str(uuid4())

    assert await wait_until_stored(installation, {stored: "a request"}, 30) == []
    assert await wait_until_stored(installation, {stored: "a request", lost: "another"}, 3) == [
        (lost, "another")
    ]
    assert await run_ledger(installation) == 0
