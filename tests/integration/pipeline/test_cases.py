# ruff: noqa: RUF001 - the cases are in several scripts
"""Inputs that websites really sent, through the whole installation: accepted, stored, found and alerted."""

import csv
import io
import json
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from tests.support.services.installation import INGEST_TOKEN, Installation
from tests.support.wait import eventually

CASES: Final = Path(__file__).parents[2] / "support" / "cases"
QUESTION: Final = (
    "On a scale from 1 to 5, how satisfied are you with the following aspects of our current website for"
    " customers: [{}]"
)
# What the lead has, what the text of the alert has, and what it must not have.
EXPECTED: Final[dict[str, tuple[dict[str, Any], list[str], list[str]]]] = {
    "d05_extra_captcha": ({"message": "Please call me."}, ["Extra h-captcha-response: P1_eee"], []),
    "f02_name_curly": ({"name": "Siobhán O’Brien"}, ["Name: Siobhán O’Brien"], []),
    "f02_name_hindi": ({"name": "प्रिया शर्मा"}, ["Name: प्रिया शर्मा"], []),
    "f03_consent_empty": ({"consent": None, "extra": {}}, [], ["Consent"]),
    "f03_phone_number": ({"phone": "442079460000"}, ["Phone: 442079460000"], []),
    "f03_source_php_array": ({"source": None, "extra": {}}, [], ["Extra", "Source"]),
    "f03_submitted_at_local": ({"submitted_at": "2024-01-03T10:30:42Z", "extra": {}}, [], ["Extra"]),
    "f03_utm_array": ({"extra": {}}, ["Utm source: google, google"], ["Extra"]),
    "f04_two_links": ({"status": "received", "spam_reasons": []}, ["> Our current site is"], []),
    "f05_crlf": ({"status": "received"}, ["> xxxx"], []),
    "f06_cut_emoji": ({"extra": {}}, ["Utm campaign: summer \ufffd"], []),
    "f08_zwnj": ({"name": "علی رضا\u200cزاده"}, ["رضا\u200cزاده", "> می\u200cخواهم کتاب\u200cها"], []),
    "f09_line_breaks": (
        {},
        ["> First line\n> Second line\n> Third line\n> Fourth line\n> Fifth line\n"],
        ["\u2028", "\v"],
    ),
    "f10_multiline_field": (
        {},
        [
            (
                "Extra project_description:\n> Line one\n> Line two\n>\n"
                "> Message:\n>\n> I am spoofed\n> Phone: +1 900"
            )
        ],
        ["\nPhone:", "\nI am spoofed"],
    ),
    "f11_long_labels": (
        {},
        [f"{QUESTION.format(aspect)}: {n}" for aspect, n in (("Speed", 1), ("Design", 5), ("Content", 3))],
        [],
    ),
    "f12_rtl": ({"name": "אבי כהן"}, ["Name: אבי כהן", "> תקציב: 5,000 ₪"], []),
    "f13_email_newline": ({"email": "f13@example.com"}, ["Email: f13@example.com"], []),
    "f15_invisible_name": ({"name": None}, ["Name: Website visitor"], []),
}


def test_every_case_is_expected() -> None:
    assert {path.stem for path in CASES.glob("*.json")} == set(EXPECTED)


async def alert_of(installation: Installation, lead_id: str) -> dict[str, Any]:
    """Wait for the alert about a lead, and return its text and HTML."""

    async def find() -> list[dict[str, Any]]:
        wanted = f"{lead_id}.admin_alert"
        return [mail for mail in await installation.mails() if wanted in mail["message_id"]]

    (mail,) = await eventually(find, until=lambda found: len(found) == 1, seconds=20, what="the alert")
    async with httpx.AsyncClient() as client:
        url = f"{installation.mailbox.url}/api/messages/{mail['id']}"
        found: dict[str, Any] = (await client.get(url)).json()
        return found


@pytest.mark.parametrize("case", EXPECTED)
async def test_case_is_accepted_stored_found_and_alerted(installation: Installation, case: str) -> None:
    body = (CASES / f"{case}.json").read_bytes()
    async with installation.client() as client:
        answer = await client.post(
            "/inbound/leads",
            content=body,
            headers={"Authorization": f"Bearer {INGEST_TOKEN}", "Content-Type": "application/json"},
        )
    assert answer.status_code == 201, answer.text
    lead_id = answer.json()["leadId"]
    fields, shown, hidden = EXPECTED[case]

    alert = await alert_of(installation, lead_id)
    text = alert["text"].replace("\r\n", "\n")
    assert [each for each in shown if each not in text] == []
    assert [each for each in hidden if each in text] == []

    async def read() -> httpx.Response:
        return await installation.admin("GET", f"/admin/leads/{lead_id}")

    found = await eventually(read, until=lambda response: response.status_code == 200, what="the lead")
    lead = found.json()["lead"]
    assert {name: lead[name] for name in fields} == fields
    await check_list(installation, lead)


async def check_list(installation: Installation, lead: dict[str, Any]) -> None:
    """Check that the address finds the lead, and that the export has its message."""
    page = await installation.admin("GET", "/admin/leads", params={"q": lead["email"]})
    assert [each["id"] for each in page.json()["leads"]] == [lead["id"]]
    export = await installation.admin("GET", "/admin/leads/export.csv", params={"q": lead["email"]})
    (row,) = csv.DictReader(io.StringIO(export.text.removeprefix("\ufeff"), newline=""))
    assert (row["name"], row["message"]) == (lead["name"] or "", lead["message"])
    assert json.loads(row["extra"] or "{}") == lead["extra"]
