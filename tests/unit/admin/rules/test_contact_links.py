"""Links to reply and to call: RFC 6068 and RFC 3966, and their length."""

from datetime import UTC, datetime
from urllib.parse import parse_qs, unquote, urlsplit
from uuid import UUID

import pytest

from services.admin.rules.contact_links import MAILTO_MAX, contact_links, mailto_url, reply_url, tel_url
from services.admin.schemas.lead_edits import ParkedLead

LEAD_ID = UUID("0198c0de-0000-7000-8000-0000deadbeef")
AT = datetime(2026, 11, 28, 9, 30, tzinfo=UTC)


def body_of(url: str) -> str:
    return parse_qs(urlsplit(url).query, strict_parsing=True)["body"][0]


def test_a_reply_has_the_subject_of_the_alert_and_the_quoted_message() -> None:
    url = reply_url(LEAD_ID, "ada@example.com", "Ada", "Hello & welcome?\n100 % = all", AT)
    assert url.startswith("mailto:ada@example.com?subject=Re%3A%20New%20lead%20deadbeef&body=")
    assert body_of(url) == "\r\n\r\nAda, 2026-11-28:\r\n> Hello & welcome?\r\n> 100 % = all"
    assert "+" not in url, "a plus sign is no blank in a mailto link (RFC 6068, 5)"
    assert "%0A%0A" not in url


def test_a_reply_to_an_empty_message_has_no_body() -> None:
    assert reply_url(LEAD_ID, "a@b.c", None, "", AT) == "mailto:a@b.c?subject=Re%3A%20New%20lead%20deadbeef"


@pytest.mark.parametrize(
    "address", ["o'hara+web@example.com", "a&cc=b@example.com", "a?b%2c,c@example.com", "é@bücher.example"]
)
def test_an_address_adds_no_recipient_and_no_field(address: str) -> None:
    url = mailto_url(address)
    assert unquote(url) == f"mailto:{address}"
    assert not set("&?,") & set(url)


@pytest.mark.parametrize("char", ["x", "é", "\n", "👩‍👩‍👧‍👦", "e\u0301"])
def test_a_long_message_is_cut_at_a_whole_character(char: str) -> None:
    url = reply_url(LEAD_ID, "ada@example.com", "Ada", char * 10_000, AT)
    assert MAILTO_MAX - 140 < len(url) <= MAILTO_MAX
    body = body_of(url)
    assert body.endswith(" […]")
    quoted = body.removesuffix(" […]").removeprefix("\r\n\r\nAda, 2026-11-28:\r\n> ")
    assert quoted.replace("\r\n>", "").strip().replace(char, "") == ""


def test_a_reply_is_short_enough_if_the_name_alone_is_too_long() -> None:
    url = reply_url(LEAD_ID, "ada@example.com", "👩" * 200, "Hi", AT)
    assert len(url) <= MAILTO_MAX
    assert body_of(url).endswith("👩 […]")


@pytest.mark.parametrize(
    ("phone", "url"),
    [
        ("+44 (0)20 7946-0958", "tel:+442079460958"),
        ("0044 20 7946 0958", "tel:+442079460958"),
        ("020 7946 0958", "tel:02079460958"),
        ("030/123.45.67", "tel:0301234567"),
        ("+1 212 555 0100 ext. 42", "tel:+12125550100;ext=42"),
        ("212-555-0100 x7", "tel:2125550100;ext=7"),
        ("tel:+12125550100;ext=42", "tel:+12125550100;ext=42"),
        ("٠٢٠ ٧٩٤٦ ٠٩٥٨", "tel:02079460958"),
        ("call me after two", None),
        ("0800 FLOWERS", None),
        ("12", None),
        ("020 7946 0958 / 020 7946 0959", None),
        ("020 7946 0958;phone-context=evil", None),
        ("-" * 200, None),
    ],
)
def test_a_phone_number_is_dialled_as_it_was_meant(phone: str, url: str | None) -> None:
    assert tel_url(phone) == url


def test_a_queued_lead_has_links_only_where_they_lead_to_something() -> None:
    lead = ParkedLead(
        id=LEAD_ID, name=None, email="no address", phone="n/a", company=None, service=None, message="Hi",
        updated_at=AT,
    )  # fmt: skip
    links = contact_links(lead)
    assert (links.email, links.phone) == ("no address", "n/a")
    assert (links.write, links.reply, links.call) == (None, None, None)
    reply = contact_links(lead.model_copy(update={"email": "ada@example.com"})).reply
    assert reply is not None
    assert body_of(reply) == "\r\n\r\nada@example.com:\r\n> Hi"
