"""Which events a record causes, and who receives them."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from aiokafka import ConsumerRecord

from contracts import headers as h
from contracts import topics
from contracts.lead_events import RECEIVED, LeadChanged, event_id_for
from runtime.database.lead_events import NewEvent, in_order
from runtime.sites.file import parse_sites
from services.webhooks.destinations import Destinations
from services.webhooks.events import decode, events_of_change, events_of_failed_alerts, events_of_lead
from tests.support.factories import lead

LEAD_ID = UUID(int=7)
FILE = b"""
[sites.shop]
[[destinations]]
name = "all"
kind = "slack"
url = "https://chat.example/1"
events = ["lead.received", "lead.updated", "lead.status_changed"]
[[destinations]]
name = "new"
kind = "slack"
url = "https://chat.example/2"
[[destinations]]
name = "status"
kind = "slack"
url = "https://chat.example/3"
events = ["lead.status_changed"]
"""
DESTINATIONS = Destinations(parse_sites(FILE), {})


def _row(status: str = "won") -> dict[str, Any]:
    sent = lead(site="shop", name="", email="", phone="1")
    names = (
        "phone", "company", "service", "message", "consent", "consent_text", "consent_version", "locale",
        "source", "extra", "site",
    )  # fmt: skip
    return {
        **{name: getattr(sent, name) for name in names},
        "id": LEAD_ID,
        "status": status,
        "assignee": None,
        "created_at_utc": sent.occurred_at,
        "name": "",
        "email": "",
    }


def _change(before: str | None = None, after: str | None = None) -> LeadChanged:
    return LeadChanged.model_validate(
        {
            "event_id": uuid4(),
            "occurred_at": datetime.now(UTC),
            "type": "lead.status_changed" if before else "lead.updated",
            "lead_id": LEAD_ID,
            "site": "shop",
            "changed": () if before else ("email",),
            "from_status": before,
            "to_status": after,
        }
    )


def _planned(change: LeadChanged, status: str = "won", known: tuple[str, ...] = ()) -> dict[str, Any]:
    events = events_of_change(change, _row(status), known, DESTINATIONS)
    return {event.type: event.destinations for event in events}


def test_a_change_brings_the_lead_only_to_those_that_list_both() -> None:
    assert _planned(_change()) == {"lead.received": ("all",), "lead.updated": ("all",)}
    assert _planned(_change("received", "won")) == {
        "lead.received": ("all",),
        "lead.status_changed": ("all", "status"),
    }


@pytest.mark.parametrize("before", ["spam", "held"])
def test_a_release_brings_the_lead_to_all_that_list_it(before: str) -> None:
    assert _planned(_change(before, "received"), "received") == {
        "lead.received": ("all", "new"),
        "lead.status_changed": ("all", "status"),
    }


@pytest.mark.parametrize("status", ["spam", "held"])
def test_of_spam_only_those_hear_that_know_the_lead(status: str) -> None:
    assert _planned(_change("received", status), status) == {}
    assert _planned(_change("received", status), status, ("all", "new")) == {"lead.status_changed": ("all",)}


def test_an_event_has_the_id_of_its_change_and_the_lead_its_own() -> None:
    change = _change("received", "won")
    first, second = events_of_change(change, _row(), (), DESTINATIONS)
    assert (first.id, second.id) == (event_id_for(LEAD_ID, RECEIVED), change.event_id)
    assert '"name":null,"email":null' in first.body


def _record(topic: str, value: bytes | None, origin: str = "") -> Any:
    found = ((h.ORIGINAL_TOPIC, origin.encode()),) if origin else ()
    return ConsumerRecord(f"test.{topic}", 0, 0, 0, 0, b"k", value, 0, 1, 1, found)


def test_a_record_is_decoded_as_its_topic_says() -> None:
    sent, change = lead(), _change("received", "won")
    received, changed, retry = topics.RECEIVED.name, topics.CHANGED.name, topics.RETRY_WEBHOOKS.name
    lead_bytes, change_bytes = sent.model_dump_json().encode(), change.model_dump_json().encode()
    assert decode(_record(received, lead_bytes)) == sent
    assert decode(_record(changed, change_bytes)) == change
    assert decode(_record(retry, lead_bytes, f"test.{received}")) == sent
    assert decode(_record(retry, lead_bytes)) == sent
    assert decode(_record(retry, change_bytes, f"test.{changed}")) == change
    # A header of a record that is no retry means nothing.
    assert decode(_record(received, lead_bytes, f"test.{changed}")) == sent
    assert decode(_record(received, change_bytes)) is None
    assert decode(_record(changed, lead_bytes)) is None


@pytest.mark.parametrize("value", [None, b"", b"{}", b"\xff", b'{"type": "lead.status_changed"}'])
def test_a_record_that_is_neither_lead_nor_change_is_none(value: bytes | None) -> None:
    for topic in (topics.RECEIVED.name, topics.CHANGED.name):
        assert decode(_record(topic, value)) is None


def test_events_are_sorted_by_lead_and_begin_with_its_arrival() -> None:
    sent = lead(lead_id=LEAD_ID, site="shop")
    (own,) = events_of_lead(sent, DESTINATIONS)
    changes = [_change("received", "processing"), _change("processing", "won")]
    events = [event for change in changes for event in events_of_change(change, _row(), (), DESTINATIONS)]
    ordered = in_order([*events, own])
    assert [event.id for event in ordered] == [own.id, *(change.event_id for change in changes)]
    assert ordered[0].destinations == ("all", "new")
    other = NewEvent(uuid4(), RECEIVED, UUID(int=1), "shop", datetime.now(UTC), "{}", ("all",))
    assert in_order([*events, other])[0] == other


def _alert_failed(site: str = "shop") -> LeadChanged:
    return LeadChanged.model_validate(
        {
            "event_id": uuid4(),
            "occurred_at": datetime.now(UTC),
            "type": "lead.alert_failed",
            "lead_id": LEAD_ID,
            "lead_ids": [LEAD_ID, uuid4()],
            "site": site,
            "since": datetime.now(UTC),
        }
    )


def test_failed_notifications_are_one_event_for_the_chats_of_their_site() -> None:
    change = _alert_failed()
    (event,) = events_of_failed_alerts(change, DESTINATIONS)
    assert (event.id, event.lead_id, event.destinations) == (change.event_id, LEAD_ID, ("new",))
    assert '"count":2' in event.body
    assert "@" not in event.body


def test_failed_notifications_without_a_receiver_are_no_event() -> None:
    file = FILE.replace(b'"https://chat.example/2"', b'"https://chat.example/2"\nevents = ["lead.received"]')
    assert events_of_failed_alerts(_alert_failed(), Destinations(parse_sites(file), {})) == []


@pytest.mark.parametrize("missing", ["lead_ids", "since"])
def test_failed_notifications_without_leads_or_time_are_not_valid(missing: str) -> None:
    fields = _alert_failed().model_dump(exclude={missing})
    with pytest.raises(ValueError, match="needs lead_ids and since"):
        LeadChanged.model_validate(fields)
