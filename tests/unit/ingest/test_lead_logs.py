"""The line that ingest logs for each lead at DEBUG."""

import logging
from collections.abc import Iterator

import pytest
import structlog

from tests.support.services.gateway import Gateway, submission


@pytest.fixture
def debug_level(gateway: Gateway) -> Iterator[None]:
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.DEBUG)
    yield
    root.setLevel(level)


@pytest.mark.usefixtures("debug_level")
async def test_each_accepted_lead_is_one_line_without_personal_data(gateway: Gateway) -> None:
    with structlog.testing.capture_logs() as logs:
        answer = await gateway.post(Idempotency_Key="k")
        await gateway.post(Idempotency_Key="k")  # a repetition is no other lead
    (line,) = (entry for entry in logs if entry["event"] == "lead accepted")
    assert (line["log_level"], line["lead_id"], line["site"]) == ("debug", answer.json()["leadId"], "www")
    personal = [str(value) for name, value in submission().items() if name in ("name", "email", "message")]
    assert not any(value.strip() in repr(line) for value in personal)


async def test_no_lead_is_logged_above_debug(gateway: Gateway) -> None:
    with structlog.testing.capture_logs() as logs:
        await gateway.post()
    assert [entry["event"] for entry in logs if entry["event"] == "lead accepted"] == []
