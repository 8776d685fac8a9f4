"""A message for Slack: its limits, and what a visitor's text cannot do."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from services.webhooks.messages.slack import slack_message
from tests.unit.webhooks.messages.events import HOSTILE, all_fields, erased, received

ADMIN = "https://example.com/admin"


def texts(message: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The texts of all blocks."""
    for block in message["blocks"]:
        yield from [block["text"]] if "text" in block else block["fields"]


def test_a_lead_is_a_title_fields_the_message_quoted_and_a_link() -> None:
    message = slack_message(received(message="Please\ncall <me>."), ADMIN)
    assert message["text"] == "New lead from Ada Lovelace"
    title, fields, quote, link = message["blocks"]
    assert title["text"]["text"] == "*New lead from Ada Lovelace*"
    assert fields["fields"][0]["text"] == "*Email*\nada@example.com"
    assert quote["text"]["text"] == ">Please\n>call &lt;me&gt;."
    assert link["text"]["text"].startswith(f"<{ADMIN}/ui/leads/018cce9d")


def test_a_visitors_text_calls_nobody_and_makes_no_link() -> None:
    message = slack_message(all_fields(HOSTILE), "")
    for text in [message["text"], *(each["text"] for each in texts(message))]:
        assert "<" not in text
        assert not re.search(r"&(?!amp;|lt;|gt;)", text)
    assert all(each["verbatim"] is True for each in texts(message))
    assert (message["unfurl_links"], message["unfurl_media"]) == (False, False)


@pytest.mark.parametrize("text", ["x" * 20_000, "&" * 20_000, "<" * 20_000, "\n" * 20_000, "x&" * 20_000])
def test_the_longest_values_keep_the_limits_of_slack(text: str) -> None:
    message = slack_message(all_fields(text), ADMIN)
    assert len(message["blocks"]) <= 50
    for block in message["blocks"]:
        assert len(block.get("fields", [])) <= 10
        assert len(block.get("text", {}).get("text", "")) <= 3000
        assert all(len(each["text"]) <= 2000 for each in block.get("fields", []))
    assert not [each for each in texts(message) if re.search(r"&(?!amp;|lt;|gt;)", each["text"])]


def test_an_erasure_and_a_lead_without_a_message_have_no_empty_block() -> None:
    assert len(slack_message(erased(), ADMIN)["blocks"]) == 1
    assert all(each["text"] for each in texts(slack_message(received(message="", name=None), "")))
