"""The content of a chat message, before a chat's markup is added."""

from typing import Any

import pytest

from contracts.leads import LeadStatus
from services.webhooks.messages.summary import FIELD_MAX, MESSAGE_MAX, STATUS_NAMES, summarize
from tests.unit.webhooks.messages.events import alert_failed, erased, received


def test_it_names_the_visitor_and_shows_the_fields_that_are_filled() -> None:
    summary = summarize(received(phone=None, source={"utm_campaign": "spring"}), "https://example.com/admin/")
    assert summary.title == "New lead from Ada Lovelace"
    assert summary.fields == [
        ("Email", "ada@example.com"), ("Service", "Web design"), ("Site", "Shop Nord"),
        ("Campaign", "spring"), ("Reference", "1a2b3c07"),
    ]  # fmt: skip
    assert summary.message == "Please call me."
    assert summary.link == "https://example.com/admin/ui/leads/018cce9d-7c43-7ab1-8c3d-9e0f1a2b3c07"


@pytest.mark.parametrize(
    ("fields", "who"),
    [
        ({"name": None}, "ada@example.com"),
        ({"name": None, "email": None, "phone": "+44 1"}, "+44 1"),
        ({"name": "", "email": ""}, "somebody"),
    ],
)
def test_without_a_name_it_shows_what_there_is(fields: dict[str, Any], who: str) -> None:
    assert summarize(received(**fields), "").title == f"New lead from {who}"


def test_long_values_are_cut_with_an_ellipsis() -> None:
    summary = summarize(received(name="n" * 5000, company="c" * FIELD_MAX, message="m" * 5000), "")
    assert summary.title == "New lead from " + "n" * (FIELD_MAX - 1) + "…"
    assert dict(summary.fields)["Company"] == "c" * FIELD_MAX
    assert summary.message == "m" * (MESSAGE_MAX - 1) + "…"


def test_160_failed_notifications_are_one_message_with_a_link() -> None:
    summary = summarize(alert_failed(160), "https://example.com/admin/")
    assert summary.title == "Nobody received the emails about 160 new leads"
    assert summary.fields == [
        ("Site", "Shop Nord"),
        ("Reference", "00000000, 00000001, 00000002, 00000003, 00000004 and 155 more"),
        ("The mail servers say", "550 5.7.1 sender not allowed"),
    ]
    assert (summary.link, summary.link_text) == (
        "https://example.com/admin/ui/leads?site=shop",
        "Open the leads",
    )


def test_one_failed_notification_links_its_lead() -> None:
    event = alert_failed(1)
    event["data"]["reason"] = None
    summary = summarize(event, "https://example.com/admin")
    assert summary.title == "Nobody received the email about 1 new lead"
    assert summary.fields == [("Site", "Shop Nord"), ("Reference", "00000000")]
    assert summary.link == "https://example.com/admin/ui/leads/018cce9d-7c43-7ab1-8c3d-000000000000"
    assert summarize(event, "").link == ""


def test_an_erasure_names_the_reference_only() -> None:
    assert summarize(erased(), "https://example.com/admin")[:4] == ("Lead 1a2b3c07 was erased", [], "", "")


def test_a_test_says_so_and_without_an_admin_url_there_is_no_link() -> None:
    summary = summarize(received() | {"type": "lead.test"}, "")
    assert (summary.title, summary.link) == ("Test from FASTCore", "")


def test_a_change_is_named_in_the_words_of_the_dashboard() -> None:
    edited = {**received(changed=["email", "consent_text"]), "type": "lead.updated"}
    assert summarize(edited, "").title == "Lead from Ada Lovelace was edited: email, consent text"
    moved = {**received(from_status="received", to_status="processing"), "type": "lead.status_changed"}
    assert summarize(moved, "").title == "Lead from Ada Lovelace: New → In progress"


def test_each_status_of_a_change_has_a_name() -> None:
    assert set(STATUS_NAMES) == set(LeadStatus) - {LeadStatus.ERASED}
