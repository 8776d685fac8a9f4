"""A message for Discord: its limits, and what a visitor's text cannot do."""

import re
from typing import Any

import pytest

from services.webhooks.messages.discord import discord_message
from tests.unit.webhooks.messages.events import HOSTILE, all_fields, erased, received

ADMIN = "https://example.com/admin"


def embed(event: dict[str, Any], admin_url: str = ADMIN) -> dict[str, Any]:
    (made,) = discord_message(event, admin_url)["embeds"]
    found: dict[str, Any] = made
    return found


def test_a_lead_is_an_embed_with_fields_and_a_link() -> None:
    made = embed(received())
    assert made["title"] == "New lead from Ada Lovelace"
    assert made["description"] == "Please call me."
    assert made["fields"][1] == {"name": "Service", "value": "Web design", "inline": True}
    assert made["url"].startswith(f"{ADMIN}/ui/leads/018cce9d")
    assert "url" not in embed(received(), "")


def test_regression_a_visitors_text_makes_no_link_and_calls_nobody() -> None:
    message = discord_message(all_fields(HOSTILE), "")
    assert message["allowed_mentions"] == {"parse": []}
    assert "content" not in message
    made = message["embeds"][0]
    values = [made["title"], made["description"], *(each["value"] for each in made["fields"])]
    for value in values:
        # Discord makes a link of a bare URL in an embed, too. A backslash escapes markup.
        assert not re.search(r"[\\*_`\[\]()<>@:~|#]", re.sub(r"\\[^0-9A-Za-z\s]", "", value)), value
    assert "https\\://evil.example" in made["description"]


@pytest.mark.parametrize("text", ["x" * 20_000, "*" * 20_000, "🎉" * 20_000, "\n" * 20_000])
def test_the_longest_values_keep_the_limits_of_discord(text: str) -> None:
    made = embed(all_fields(text))
    assert len(made["title"]) <= 256
    assert len(made["description"]) <= 4096
    assert len(made["fields"]) <= 25
    assert all(len(each["value"]) <= 1024 and len(each["name"]) <= 256 for each in made["fields"])
    shown = [made["title"], made["description"]]
    shown += [part for each in made["fields"] for part in (each["name"], each["value"])]
    assert sum(map(len, shown)) <= 6000, "of a whole message"


def test_an_erasure_is_a_title_only() -> None:
    made = embed(erased())
    assert (made["title"], made["description"], made["fields"]) == ("Lead 1a2b3c07 was erased", "", [])
    assert "url" not in made
