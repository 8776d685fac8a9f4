"""docs/events/v1.json: the events that the code makes are valid, and it refuses what is none."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from jsonschema import Draft202012Validator

from contracts.lead_events import LeadChanged, LeadEvent, alert_failed_event, example_event
from tests.contract.test_readme import PAGES, ROOT, blocks
from tests.support.factories import lead

SCHEMA = json.loads((ROOT / "docs/events/v1.json").read_text(encoding="utf-8"))
VALIDATOR = Draft202012Validator(SCHEMA, format_checker=Draft202012Validator.FORMAT_CHECKER)
SENT = lead(source={"utm_campaign": "spring", "other": [1]}, extra={"budget": {"from": 1}})


def _row() -> dict[str, Any]:
    row = SENT.model_dump(mode="json")
    return {**row, "id": SENT.lead_id, "status": "won", "assignee": "ann", "created_at_utc": SENT.occurred_at}


def _changed(**fields: Any) -> str:
    change = LeadChanged.model_validate(
        {
            "event_id": uuid4(),
            "occurred_at": datetime.now(UTC),
            "lead_id": SENT.lead_id,
            "site": "s",
            **fields,
        }
    )
    return LeadEvent.changed(change, _row(), "Studio Nord").model_dump_json()


def _alert_failed(**fields: Any) -> str:
    message = ROOT / "contracts/examples/leads.changed.v1/alert_failed.json"
    change = LeadChanged.model_validate_json(message.read_bytes()).model_copy(update=fields)
    return alert_failed_event(change, "Studio Nord").model_dump_json()


EVENTS = {
    "lead.received": LeadEvent.received(SENT, "Studio Nord").model_dump_json(),
    "released": LeadEvent.released(_row(), "Studio Nord").model_dump_json(),
    "lead.updated": _changed(type="lead.updated", changed=("email",)),
    "lead.status_changed": _changed(type="lead.status_changed", from_status="received", to_status="won"),
    "lead.alert_failed": _alert_failed(),
    "not sent at all": _alert_failed(reason=None),
    "lead.test": example_event(uuid4(), datetime.now(UTC)).model_dump_json(),
    "page": blocks(PAGES[ROOT / "docs/destinations.md"], "json")[0],
}


@pytest.mark.parametrize("name", EVENTS)
def test_each_event_is_valid_also_with_fields_of_a_later_version(name: str) -> None:
    event = json.loads(EVENTS[name])
    VALIDATOR.validate(event)
    VALIDATOR.validate({**event, "later": 1, "data": {**event["data"], "later": {"a": [None]}}})


@pytest.mark.parametrize("key", ["type", "timestamp", "data"])
def test_an_event_without_a_part_is_not_valid(key: str) -> None:
    event = json.loads(EVENTS["lead.received"])
    del event[key]
    assert not VALIDATOR.is_valid(event)


def test_an_event_without_a_field_is_not_valid() -> None:
    event = json.loads(EVENTS["lead.status_changed"])
    for name in event["data"]:
        data = {key: value for key, value in event["data"].items() if key != name}
        assert not VALIDATOR.is_valid({**event, "data": data}), name


def test_the_page_links_the_schema() -> None:
    assert "(events/v1.json)" in PAGES[ROOT / "docs/destinations.md"]
    assert Path(ROOT / "docs/events/v1.json").is_file()
