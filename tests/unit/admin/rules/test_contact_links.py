"""Links to reply and to call: RFC 6068 and RFC 3966, and their length."""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from uuid import UUID

import pytest

from contracts.contact_urls import MAILTO_MAX, mailto_url
from runtime.sites.model import Site, Sites
from services.admin.rules.contact_links import contact_links
from services.admin.schemas.lead_edits import QueuedLead
from services.admin.schemas.leads import Lead

LEAD_ID = UUID("0198c0de-0000-7000-8000-0000deadbeef")
AT = datetime(2026, 11, 28, 9, 30, tzinfo=UTC)


NO_SITES = Sites()


def lead(**fields: Any) -> Lead:
    made: dict[str, Any] = dict.fromkeys(Lead.model_fields)
    made |= {
        "id": LEAD_ID, "request_id": "r", "site": "studio", "email": "ada@example.com", "name": "Ada",
        "service": "Web", "status": "received", "message": "Hi", "extra": {}, "spam_reasons": [],
        "created_at_utc": AT, "updated_at": AT, "stored_at": AT,
    }  # fmt: skip
    return Lead.model_validate(made | fields)


def reply_to(sites: Sites = NO_SITES, **fields: Any) -> str:
    url = contact_links(lead(**fields), sites).reply
    assert url is not None
    assert len(url) <= MAILTO_MAX
    return url


def with_template(**reply: str) -> Sites:
    site = Site.model_validate({"name": "Studio Nord", "reply": reply})
    return Sites({"studio": site})


def body_of(url: str) -> str:
    return parse_qs(urlsplit(url).query, strict_parsing=True)["body"][0]


def test_a_reply_has_the_subject_of_the_alert_and_the_quoted_message() -> None:
    url = reply_to(message="Hello & welcome?\n100 % = all")
    assert url.startswith("mailto:ada@example.com?subject=Re%3A%20New%20lead%20deadbeef&body=")
    assert body_of(url) == "\r\n\r\nAda, 2026-11-28:\r\n> Hello & welcome?\r\n> 100 % = all"
    assert "+" not in url, "a plus sign is no blank in a mailto link (RFC 6068, 5)"
    assert "%0A%0A" not in url


def test_a_reply_to_an_empty_message_has_no_body() -> None:
    url = reply_to(email="a@b.c", name=None, message="")
    assert url == "mailto:a@b.c?subject=Re%3A%20New%20lead%20deadbeef"


@pytest.mark.parametrize(
    "address", ["o'hara+web@example.com", "a&cc=b@example.com", "a?b%2c,c@example.com", "é@bücher.example"]
)
def test_an_address_adds_no_recipient_and_no_field(address: str) -> None:
    url = mailto_url(address)
    assert unquote(url) == f"mailto:{address}"
    assert not set("&?,") & set(url)


@pytest.mark.parametrize("char", ["x", "é", "\n", "👩‍👩‍👧‍👦", "e\u0301"])
def test_a_long_message_is_cut_at_a_whole_character(char: str) -> None:
    url = reply_to(message=char * 10_000)
    assert len(url) > MAILTO_MAX - 140
    body = body_of(url)
    assert body.endswith(" […]")
    quoted = body.removesuffix(" […]").removeprefix("\r\n\r\nAda, 2026-11-28:\r\n> ")
    assert quoted.replace("\r\n>", "").strip().replace(char, "") == ""


def test_a_reply_is_short_enough_if_the_name_alone_is_too_long() -> None:
    assert body_of(reply_to(name="👩" * 200)).endswith("👩 […]")


def test_a_site_s_template_is_above_the_quoted_message() -> None:
    sites = with_template(
        subject="Your request to {{ site }}\n({{ reference }})",
        body="Hello {{ name or 'and welcome' }},\n\n{% if phone %}\nWe call {{ phone }}.\n{% endif %}\nBye\n",
    )
    url = reply_to(sites, phone="030 & 1")
    assert "?subject=Your%20request%20to%20Studio%20Nord%20%28deadbeef%29&body=" in url
    assert body_of(url) == "Hello Ada,\r\n\r\nWe call 030 & 1.\r\nBye\r\n\r\nAda, 2026-11-28:\r\n> Hi"
    assert body_of(reply_to(sites, name=None, message="")) == "Hello and welcome,\r\n\r\nBye"
    assert reply_to(sites, site="other") == reply_to(), "another site has no template"


def test_a_template_without_a_subject_keeps_the_usual_one() -> None:
    assert "?subject=Re%3A%20New%20lead%20deadbeef&body=Hello" in reply_to(with_template(body="Hello"))
    assert body_of(reply_to(with_template(subject="Hello"))) == body_of(reply_to())


def test_what_a_visitor_wrote_is_a_text_in_a_template() -> None:
    name = "{{ 7*7 }}&cc=eve@example.com\r\nBcc: eve@example.com"
    url = reply_to(with_template(subject="{{ name }}", body="{{ name }}"), name=name)
    assert set(parse_qs(urlsplit(url).query)) == {"subject", "body"}
    assert parse_qs(urlsplit(url).query)["subject"] == [" ".join(name.split())]
    assert "%0" not in url.partition("&body=")[0]


def test_a_template_with_long_fields_keeps_the_link_short() -> None:
    sites = with_template(subject="{{ message }}" * 15, body="{{ message }}" * 60)
    url = reply_to(sites, message="👩\n" * 50_000, email=f"{'é' * 60}@example.com")
    assert parse_qs(urlsplit(url).query)["subject"][0].endswith(" […]")


def test_a_queued_lead_has_links_only_where_they_lead_to_something() -> None:
    queued = QueuedLead(
        id=LEAD_ID, name=None, email="no address", phone="n/a", company=None, service=None, message="Hi",
        updated_at=AT,
    )  # fmt: skip
    links = contact_links(queued, NO_SITES)
    assert (links.email, links.phone) == ("no address", "n/a")
    assert (links.write, links.reply, links.call) == (None, None, None)
    reply = contact_links(queued.model_copy(update={"email": "ada@example.com"}), NO_SITES).reply
    assert reply is not None
    assert body_of(reply) == "\r\n\r\nada@example.com:\r\n> Hi"
