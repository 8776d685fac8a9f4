"""Inputs that websites really sent, through the whole installation: what people see of each."""

import csv
import html
import io
from typing import Any

import httpx
import pytest

from tests.support.builder_examples import EXAMPLES
from tests.support.services.dashboard import csrf_token
from tests.support.services.installation import ADMIN_TOKEN, HOOK_KEY, INGEST_TOKEN, Installation
from tests.support.wait import eventually
from tests.support.web.plain_http import plain_client
from tests.support.web_cases import CASES, EXPECTED, PAGE, WebCase, builder_cases, cases_page

BUILDERS = builder_cases()


def test_every_case_is_expected() -> None:
    assert {path.stem for path in CASES.glob("*.json")} == set(EXPECTED)


def test_the_page_of_cases_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == cases_page(), "run: python -m tests.support.web_cases"


async def alert_of(installation: Installation, lead_id: str) -> dict[str, Any]:
    """Wait for the alert about a lead, and return its text and HTML."""

    async def find() -> list[dict[str, Any]]:
        wanted = f"{lead_id}.admin_alert"
        return [mail for mail in await installation.mails() if wanted in mail["message_id"]]

    (mail,) = await eventually(find, until=lambda found: len(found) == 1, seconds=20, what="the alert")
    async with plain_client() as client:
        url = f"{installation.mailbox.url}/api/messages/{mail['id']}"
        found: dict[str, Any] = (await client.get(url)).json()
        return found


@pytest.mark.parametrize("name", EXPECTED)
async def test_case_is_seen_as_it_was_meant(installation: Installation, name: str) -> None:
    body, case = (CASES / f"{name}.json").read_bytes(), EXPECTED[name]
    async with installation.client() as client:
        answer = await client.post(
            "/inbound/leads",
            content=body,
            headers={"Authorization": f"Bearer {INGEST_TOKEN}", "Content-Type": "application/json"},
        )
    assert answer.status_code == 201, answer.text
    await check_all(installation, answer.json()["leadId"], case)


@pytest.mark.parametrize("name", BUILDERS)
async def test_payload_of_a_form_builder_is_seen_as_it_was_meant(
    installation: Installation, name: str
) -> None:
    example = EXAMPLES[name]
    async with installation.client() as client:
        answer = await client.post(
            f"/inbound/hooks/{HOOK_KEY}", content=example.content, headers=example.headers
        )
    assert answer.status_code == 200, answer.text
    await check_all(installation, answer.json()["leadId"], BUILDERS[name])


async def check_all(installation: Installation, lead_id: str, case: WebCase) -> None:
    """Wait for the lead, and check its alert, its values, the searches, the CSV and the pages."""
    alert = await alert_of(installation, lead_id)
    text = alert["text"].replace("\r\n", "\n")
    assert [each for each in case.alert if each not in text] == []
    assert [each for each in case.absent if each in text] == []

    async def read() -> httpx.Response:
        return await installation.admin("GET", f"/admin/leads/{lead_id}")

    found = await eventually(read, until=lambda response: response.status_code == 200, what="the lead")
    lead = found.json()["lead"]
    assert {key: lead[key] for key in case.lead} == case.lead
    await check_search_and_csv(installation, lead, case)
    await check_pages(installation, lead_id, case)


async def check_search_and_csv(installation: Installation, lead: dict[str, Any], case: WebCase) -> None:
    for words in case.searches:
        page = await installation.admin("GET", "/admin/leads", params={"q": words, "limit": 200})
        assert lead["id"] in [each["id"] for each in page.json()["leads"]], words
    export = await installation.admin("GET", "/admin/leads/export.csv", params={"q": lead["id"]})
    (row,) = csv.DictReader(io.StringIO(export.text.removeprefix("\ufeff"), newline=""))
    assert {column: row[column] for column in case.csv} == case.csv


async def check_pages(installation: Installation, lead_id: str, case: WebCase) -> None:
    """Check the dashboard's list, where the lead has its name, and the lead's page."""
    async with installation.client() as client:
        await client.post("/admin/login", data={"token": ADMIN_TOKEN})
        page = (await client.get(f"/admin/ui/leads/{lead_id}")).text
        search = {"csrf": csrf_token(page), "q": lead_id}
        rows = (await client.post("/admin/ui/leads", data=search)).text
    assert [each for each in case.page if each not in page] == []
    _, _, row = rows.partition(f'href="/admin/ui/leads/{lead_id}')
    assert html.unescape(row.partition("</a>")[0]).endswith(f"<bdi>{case.row}</bdi>")
