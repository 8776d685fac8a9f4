"""The export dialog on the page of leads is a plain form, and a page without scripts."""

import html
import io
import re
from collections.abc import AsyncIterator

import openpyxl
import pytest
from openpyxl.worksheet.worksheet import Worksheet

from runtime.settings import Postgres
from services.admin import texts
from tests.support.services.admin import Admin
from tests.support.services.dashboard import HTMX, running_dashboard, sign_in
from tests.support.stack import Stack
from tests.support.web.texts import BRACKETED, CLOSE, outside_of_brackets

PAGE = "/admin/ui/leads"


@pytest.fixture
async def admin(postgres: Postgres, stack: Stack) -> AsyncIterator[Admin]:
    async with running_dashboard(postgres, stack) as running:
        yield running


def form_of(page: str) -> dict[str, list[str]]:
    """Return the fields that a browser would submit with the export's form."""
    form = page.partition('<form id="export"')[2].partition("</form>")[0]
    fields: dict[str, list[str]] = {}
    for field in re.findall(r"<input [^>]*>", form):
        if 'type="hidden"' in field or " checked" in field:
            name, value = (re.findall(rf'{each}="([^"]*)"', field)[0] for each in ("name", "value"))
            fields.setdefault(name, []).append(value)
    return fields


async def test_the_form_exports_the_search_with_the_usual_columns(admin: Admin) -> None:
    csrf = await sign_in(admin)
    await admin.add_lead(name="Grace Hopper")
    await admin.add_lead(name="Ada Lovelace")
    await admin.add_lead("spam", name="Grace Hopper")
    search = {"csrf": csrf, "q": "hopper", "zone": "Asia/Kolkata"}
    assert 'action="/admin/ui/leads/export"' in (await admin.client.post(PAGE, data=search)).text
    page = (await admin.client.post(f"{PAGE}/export", data=search)).text
    assert "1 lead, newest first" in page
    assert "With spam and erased (1 more)" in page
    assert "<h1>Export leads</h1>" in page
    form = form_of(page)
    assert (form["q"], "cursor" in form, "status" in form) == (["hopper"], False, False)
    answer = await admin.client.post(f"{PAGE}/export.xlsx", data=form)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-disposition"].endswith('.xlsx"')
    sheet = openpyxl.load_workbook(io.BytesIO(answer.content)).active
    assert isinstance(sheet, Worksheet)
    headings, row = ([cell.value for cell in each] for each in sheet.iter_rows())
    assert headings[:5] == ["Received (Asia/Kolkata)", "Status", "Service", "Name", "Email"]
    assert len(headings) < 20
    assert row[3] == "Grace Hopper"


async def test_the_form_exports_chosen_columns_and_leads_as_csv(admin: Admin) -> None:
    csrf = await sign_in(admin)
    leads = [await admin.add_lead(name=name) for name in ("Ada", "Grace", "Zoë")]
    url, form = f"{PAGE}/export.csv", {"csrf": csrf, "columns": ["name", "site"]}
    ids = [str(lead.lead_id) for lead in leads[1:]]
    dialog = await admin.client.post(f"{PAGE}/export", data={"csrf": csrf, "ids": ids}, headers=HTMX)
    assert dialog.text.startswith('<dialog id="export-dialog"')
    assert ("2 leads, newest first" in dialog.text, form_of(dialog.text)["ids"]) == (True, ids)
    matching = await admin.client.post(
        f"{PAGE}/export", data={"csrf": csrf, "ids": ids[1:], "matching": "true", "q": "Zoe"}
    )
    assert "1 lead, newest first" in matching.text, "all that match, and not the selected one"
    assert (form_of(matching.text).get("ids"), form_of(matching.text)["q"]) == (None, ["Zoe"])
    answer = await admin.client.post(url, data=form | {"ids": ids})
    assert answer.content.decode() == '"name","site"\r\n"Zoë","default"\r\n"Grace","default"\r\n', "no mark"
    refused = await admin.client.post(url, data=form | {"columns": ["password"]})
    assert (refused.status_code, "must be the name of a column" in refused.text) == (422, True)
    assert (await admin.client.post(url, data=form | {"csrf": "x"})).status_code == 403


async def test_the_form_keeps_every_filter_of_the_list(admin: Admin) -> None:
    csrf = await sign_in(admin)
    await admin.add_lead("won", name="Ada")
    filters = {"status": "won", "service": "Hosting & <b>", "since": "2024-01-01", "until": "2124-01-01"}
    page = (await admin.client.post(f"{PAGE}/export", data={"csrf": csrf} | filters)).text
    form = form_of(page)
    assert {name: html.unescape(form[name][0]) for name in filters} == filters
    assert "With spam and erased" not in page


async def test_an_excel_file_is_in_the_language_of_the_viewer(
    admin: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    csrf = await sign_in(admin)
    await admin.add_lead("spam", spam_reasons=("honeypot",), message="x" * 32_768)
    monkeypatch.setattr(texts, "find_viewer", lambda _: BRACKETED)
    columns = ["created_at", "created_at_utc", "status", "spam_reasons", "message"]
    form = {"csrf": csrf, "columns": columns, "status": "spam", "zone": "Asia/Kolkata"}
    answer = await admin.client.post(f"{PAGE}/export.xlsx", data=form)
    sheet = openpyxl.load_workbook(io.BytesIO(answer.content)).active
    assert isinstance(sheet, Worksheet)
    headings, row = ([str(cell.value) for cell in each] for each in sheet.iter_rows())
    shown = [*headings, *row[2:4], row[4].lstrip("x")]
    assert [outside_of_brackets(text) for text in shown] == [""] * 8
    assert row[4].endswith(f"{CLOSE}")
    csv = (await admin.client.post(f"{PAGE}/export.csv", data=form)).text
    assert csv.startswith('"created_at","created_at_utc","status"'), "a CSV is for programs"
