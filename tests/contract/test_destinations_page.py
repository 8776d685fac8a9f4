"""docs/destinations.md: the service accepts its examples. tests/e2e/test_receivers.py runs its receiver."""

import json
import re
from datetime import UTC, datetime, timedelta

from contracts.lead_events import LeadData, LeadEvent
from runtime.sites.destinations import Destination
from runtime.sites.file import parse_sites
from runtime.sites.secrets import resolve_destinations
from services.webhooks.requests import build_request
from services.webhooks.retry_schedule import DEFAULT_WAITS_SECONDS, parse_waits
from tests.contract.test_readme import PAGES, ROOT, blocks
from tests.support.factories import lead

PAGE = PAGES[ROOT / "docs/destinations.md"]
SENT = lead(site="studio")


def test_its_examples_are_destinations_that_the_file_may_have() -> None:
    examples = blocks(PAGE, "toml")
    assert len(examples) == 3
    sites = parse_sites("\n".join(["[sites.studio]", *examples]).encode())
    assert set(sites.destinations) == {"crm", "sales-chat", "tickets"}
    key = re.search(r'SECRET = "(\S+)"', PAGE)
    assert key
    variables = {
        "CRM_SECRET": key[1],
        "SALES_CHAT_URL": "https://chat.example/",
        "TICKETS_AUTHORIZATION": "x",
    }
    tickets = resolve_destinations(sites, variables)["tickets"]
    body = LeadEvent.received(SENT, "Studio Nord").model_dump_json()
    request = build_request(tickets, "evt-1", body, datetime.now(UTC), "")
    assert request
    title = f"{SENT.service}: {SENT.name}"
    assert json.loads(request.body) == {"title": title, "text": SENT.message, "key": "evt-1"}


def test_it_names_each_key_each_field_and_each_wait() -> None:
    table = "".join(re.findall(r"^\| `.*?\|", PAGE, re.MULTILINE))
    assert set(re.findall(r"`(\w+)`", table)) == set(Destination.model_fields)
    (event,) = blocks(PAGE, "json")
    assert set(json.loads(event)["data"]) == set(LeadData.model_fields)
    LeadEvent.model_validate_json(event)
    waits = re.search(r"tried again after (.*?),\n", PAGE)
    assert waits
    units = {"s": "seconds", "min": "minutes", "h": "hours"}
    named = re.findall(r"(\d+) (s|min|h)\b", waits[1])
    found = tuple(timedelta(**{units[unit]: int(number)}) for number, unit in named)
    assert found == parse_waits(DEFAULT_WAITS_SECONDS)
