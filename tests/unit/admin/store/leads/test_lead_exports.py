"""An Excel export that is cancelled while a thread writes leaves no file."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from services.admin.schemas.export_columns import COLUMNS
from services.admin.schemas.export_query import ExportQuery
from services.admin.store.leads.lead_exports import _write_excel
from services.admin.texts import DEFAULT_VIEWER
from tests.support.wait import eventually


async def endless_chunks() -> AsyncIterator[list[Any]]:
    empty = dict.fromkeys(COLUMNS) | {"source": None, "extra": {}, "spam_reasons": [], "written_notes": None}
    while True:
        yield [empty | {"created_at_utc": datetime(2024, 1, 3, tzinfo=UTC)}] * 200


def has_files(folder: Path) -> bool:
    return any(folder.iterdir())


async def test_a_cancelled_export_leaves_no_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    async def download() -> None:
        async for _ in _write_excel(endless_chunks(), ExportQuery(), DEFAULT_VIEWER):
            pass

    async def writes() -> bool:
        return has_files(tmp_path)

    async def is_empty() -> bool:
        return not has_files(tmp_path)

    client = asyncio.create_task(download())
    await eventually(writes, what="a temporary file of the current chunk")
    client.cancel()
    with pytest.raises(asyncio.CancelledError):
        await client
    await eventually(is_empty, what="the end of the chunk")
