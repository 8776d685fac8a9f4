"""The line that the persister logs for each new lead at DEBUG."""

import logging
from typing import Any
from uuid import UUID

import pytest
import structlog

from services.persister.handlers import Handler
from services.persister.store import BatchOutcome

NEW = UUID("0195f2d6-0000-7000-8000-000000000001")


class FakeStore:
    async def save(self, *_: Any) -> BatchOutcome:
        return BatchOutcome(new=[NEW])


class FakeBreaker:
    async def check(self) -> None:
        """Let every batch through."""

    def count(self, **_: int) -> None:
        """Count nothing."""


@pytest.mark.parametrize(("level", "lines"), [(logging.DEBUG, 1), (logging.INFO, 0)])
async def test_each_stored_lead_is_one_line_at_debug(level: int, lines: int) -> None:
    root, fakes = logging.getLogger(), (FakeStore(), None, FakeBreaker())
    before = root.level
    root.setLevel(level)
    arguments: Any = fakes
    try:
        with structlog.testing.capture_logs() as logs:
            await Handler(*arguments).handle([])
    finally:
        root.setLevel(before)
    found = [entry for entry in logs if entry["event"] == "lead stored"]
    assert [entry["lead_id"] for entry in found] == [str(NEW)] * lines
