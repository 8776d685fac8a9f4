"""A message for Teams: an Adaptive Card, and what a visitor's text cannot do."""

import json
from typing import Any

import pytest

from services.webhooks.messages.teams import teams_message
from tests.unit.webhooks.messages.events import HOSTILE, all_fields, erased, received

ADMIN = "https://example.com/admin"
# A Teams webhook accepts 28 KB.
TEAMS_MAX_BYTES = 28_000


def card(event: dict[str, Any], admin_url: str = ADMIN) -> dict[str, Any]:
    message = teams_message(event, admin_url)
    assert message["type"] == "message"
    (attachment,) = message["attachments"]
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    content: dict[str, Any] = attachment["content"]
    return content


def test_a_lead_is_a_title_facts_the_message_and_a_button() -> None:
    made = card(received(message="Hello\nthere"))
    title, facts, text = made["body"]
    assert title["text"] == "New lead from Ada Lovelace"
    assert facts["facts"][0] == {"title": "Email", "value": "ada@example.com"}
    assert text["text"] == "Hello\n\nthere"
    (action,) = made["actions"]
    assert action["url"].startswith(f"{ADMIN}/ui/leads/018cce9d")


def test_a_visitors_text_makes_no_link_and_mentions_nobody() -> None:
    made = card(all_fields(HOSTILE), "")
    title, facts, text = made["body"]
    values = [title["text"], text["text"], *(each["value"] for each in facts["facts"])]
    assert not [value for value in values if "[free](" in value or " *b*" in value or " `c`" in value]
    assert sum("\\[free\\]\\(" in value for value in values) == 8
    assert "msteams" not in made
    assert "actions" not in made


@pytest.mark.parametrize("text", ["x" * 20_000, "*" * 20_000, "\n" * 20_000, "名" * 20_000])
def test_the_longest_values_fit_into_a_request_to_teams(text: str) -> None:
    message = teams_message(all_fields(text), ADMIN)
    assert len(json.dumps(message, ensure_ascii=False).encode()) < TEAMS_MAX_BYTES


def test_an_erasure_is_a_title_only() -> None:
    made = card(erased())
    assert [each["text"] for each in made["body"]] == ["Lead 1a2b3c07 was erased"]
    assert "actions" not in made


def test_without_a_message_there_is_no_empty_text() -> None:
    assert [each["type"] for each in card(received(message="", name=None))["body"]] == [
        "TextBlock",
        "FactSet",
    ]
