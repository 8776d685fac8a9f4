"""The Excel export on a real PostgreSQL, as a spreadsheet program reads it."""

import io
import json
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from openpyxl.worksheet.worksheet import Worksheet

from services.admin.schemas.export_query import ExportQuery
from services.admin.store.leads import lead_exports
from tests.support.services.admin import Admin
from tests.support.wait import eventually

URL = "/admin/leads/export.xlsx"


async def export(admin: Admin, **params: Any) -> Worksheet:
    answer = await admin.client.get(URL, params=params)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].endswith("spreadsheetml.sheet")
    assert answer.headers["content-disposition"].endswith('.xlsx"')
    assert answer.headers["cache-control"] == "no-store"
    sheet = openpyxl.load_workbook(io.BytesIO(answer.content)).active
    assert isinstance(sheet, Worksheet)
    return sheet


def values(sheet: Worksheet) -> list[list[Any]]:
    return [[cell.value for cell in row] for row in sheet.iter_rows()]


async def test_an_excel_file_has_real_times_and_texts_that_stay_texts(
    admin: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lead_exports, "CHUNK", 2)
    emoji = "\U0001f468\u200d\U0001f469 שלום"
    await admin.add_lead(
        name=emoji, occurred_at=datetime(2024, 1, 3, 10, 30, tzinfo=UTC), message="m" * 9_999
    )
    await admin.add_lead(phone="+44 20 7946 0958", name="=1+1", message="a\r\nb")
    await admin.add_lead(phone="007", name="<r>x</r>", message="\x01")
    columns = ["name", "phone", "created_at", "message", "status"]
    sheet = await export(admin, columns=columns, zone="Asia/Kolkata")
    headings, *rows = values(sheet)
    assert headings == ["Name", "Phone", "Received (Asia/Kolkata)", "Message", "Status"]
    by_name = {str(row[0]).strip(): row for row in rows}
    assert by_name[emoji][2:] == [datetime(2024, 1, 3, 16), "m" * 9_999, "New"]  # noqa: DTZ001 - Excel has no zones
    assert (by_name["=1+1"][1], by_name["=1+1"][3]) == ("+44 20 7946 0958", "a\nb")
    assert by_name["<r>x</r>"][1] == "007"
    for row in sheet.iter_rows(min_row=2):
        assert [cell.data_type for cell in row] == ["s", "s" if row[1].value else "n", "d", "s", "s"]
    entry = await admin.db.fetchval("SELECT details_json FROM audit_log")
    assert json.loads(entry) == {"what": "xlsx", "filters": [], "count": 3, "columns": columns}


async def test_the_notes_of_a_lead_are_in_one_cell(admin: Admin) -> None:
    lead = await admin.add_lead()
    await admin.db.execute(
        "INSERT INTO lead_note (id, lead_id, author, body, created_at) VALUES"
        " (gen_random_uuid(), $1, 'ann', 'first', '2024-01-03T10:30:00Z'),"
        " (gen_random_uuid(), $1, 'bob', 'second', '2024-01-04T10:30:00Z')",
        lead.lead_id,
    )
    await admin.edit_lead(lead.lead_id, notes="by the API")
    text = "2024-01-04 10:30 UTC, bob: second\n2024-01-03 10:30 UTC, ann: first\nby the API"
    assert values(await export(admin, columns="all_notes")) == [["Notes"], [text]]
    assert values(await export(admin, columns="all_notes", ids=str(lead.lead_id))) == [["Notes"], [text]]


async def test_chosen_leads_are_exported_and_no_others(admin: Admin) -> None:
    first, spam = await admin.add_lead(name="Ada"), await admin.add_lead("spam", name="Spam")
    await admin.add_lead(name="Someone else")
    ids = [str(first.lead_id), str(spam.lead_id)]
    sheet = await export(admin, ids=ids, columns="name", q="nobody")
    assert values(sheet) == [["Name"], ["Spam"], ["Ada"]]
    entry = json.loads(await admin.db.fetchval("SELECT details_json FROM audit_log"))
    assert (entry["filters"], entry["count"]) == (["ids"], 2)
    too_many = await admin.client.get(URL, params={"ids": ids * 101})
    assert too_many.status_code == 422


async def test_spam_and_erased_leads_are_exported_only_on_request(admin: Admin) -> None:
    for status in ("received", "spam", "erased"):
        await admin.add_lead(status, name=status)
    for params, expected in (
        ({}, ["New"]),
        ({"status_filter": "spam"}, ["Spam"]),
        ({"include_spam_and_erased": True}, ["Erased", "Spam", "New"]),
        ({"q": "nobody"}, []),
    ):
        sheet = await export(admin, columns="status", **params)
        assert values(sheet) == [["Status"], *([each] for each in expected)]
        assert sheet.auto_filter.ref == (f"A1:A{len(expected) + 1}" if expected else "A1")


async def test_a_column_that_does_not_exist_is_refused(admin: Admin) -> None:
    answer = await admin.client.get(URL, params={"columns": ["name", "password"]})
    assert answer.status_code == 422
    assert "must be the name of a column" in answer.text
    assert await admin.db.fetchval("SELECT count(*) FROM audit_log") == 0


async def test_more_leads_than_a_sheet_has_rows_are_refused(
    admin: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lead_exports, "MAX_LEADS", 1)
    for _ in range(2):
        await admin.add_lead()
    answer = await admin.client.get(URL)
    assert (answer.status_code, "CSV" in answer.json()["detail"]) == (409, True)
    assert await admin.db.fetchval("SELECT count(*) FROM audit_log") == 0, "nothing was exported"


async def test_a_stopped_excel_export_leaves_no_file_and_no_transaction(
    admin: Admin, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(lead_exports, "CHUNK", 1)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for _ in range(4):
        await admin.add_lead()
    chunks = await admin.app.state.adapters.exports.export_excel(ExportQuery(), "ann")
    await anext(chunks)
    await anext(chunks)
    await chunks.aclose()
    assert not list(tmp_path.iterdir())  # noqa: ASYNC240 - an empty folder

    async def no_open_transaction() -> bool:
        # A poll of the metrics may be in a transaction at this moment; an export would stay in one.
        return not await admin.db.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'fastcore-admin'"
            " AND datname = current_database() AND state <> 'idle'"
        )

    await eventually(no_open_transaction, what="the end of every transaction")


async def test_a_csv_for_programs_has_the_chosen_columns_and_no_mark(admin: Admin) -> None:
    await admin.add_lead(name="Zoë", phone="+442079460958")
    url = "/admin/leads/export.csv"
    answer = await admin.client.get(url, params={"columns": ["phone", "name", "phone"], "bom": False})
    assert answer.content.decode() == '"phone","name"\r\n"+442079460958","Zoë"\r\n'
