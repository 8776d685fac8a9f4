"""The two kinds of mail: their headers, encodings and texts, and no injection by visitors."""

import email
import email.policy
from dataclasses import replace
from datetime import UTC, datetime
from email.message import EmailMessage
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.failures import Kind
from services.notifier.deliveries import KINDS
from services.notifier.mail.greeting import greeting_name
from services.notifier.mail.message import Identity, UndeliverableError, compose
from tests.support.factories import lead

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
IDENTITY = Identity(
    "hello@fast.example",
    "FAST Tech Services",
    ("boss@fast.example", "ops@fast.example"),
    "https://x.example/admin",
)
REST = ["To", "Subject", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type"]
HEADERS: dict[Kind, list[str]] = {
    "welcome": ["Date", "From", *REST],
    "admin_alert": ["Date", "From", "Reply-To", *REST],
}


def mail(kind: Kind, /, identity: Identity = IDENTITY, **changes: Any) -> EmailMessage:
    content = compose(kind, lead(**changes), identity, NOW).content
    read = email.message_from_bytes(content, policy=email.policy.default)
    assert isinstance(read, EmailMessage)
    return read


def part(message: EmailMessage, kind: str) -> str:
    body = message.get_body((kind,))
    assert body is not None
    return str(body.get_content())


@pytest.mark.parametrize("kind", KINDS)
def test_a_mail_has_exactly_the_expected_headers(kind: Kind) -> None:
    given_lead = lead()
    content = compose(kind, given_lead, IDENTITY, NOW).content
    read = email.message_from_bytes(content, policy=email.policy.default)
    assert list(read.keys()) == HEADERS[kind]
    assert read["Message-ID"] == f"<{given_lead.lead_id}.{kind}@fast.example>"
    assert read["Auto-Submitted"] == "auto-generated"
    assert read["Date"].datetime == NOW
    assert read.get_content_type() == "multipart/alternative"
    assert [p.get_content_type() for p in read.iter_parts()] == ["text/plain", "text/html"]
    assert [p.get_content_charset() for p in read.iter_parts()] == ["utf-8", "utf-8"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_line_is_short_ascii_and_ends_with_crlf(kind: Kind) -> None:
    content = compose(kind, lead(name="Zoë Straße", message="é" * 5000), IDENTITY, NOW).content
    assert content.isascii()
    assert b"\n" not in content.replace(b"\r\n", b"")
    assert max(map(len, content.split(b"\r\n"))) <= 998


INJECTIONS = [
    "Bob\r\nBcc: victim@example.net",
    "Bob\nBcc: victim@example.net",
    "=?UTF-8?Q?=0A?=Bcc: victim@example.net",
    "=?utf-8?b?DQpCY2M6IHZpY3RpbUBleGFtcGxlLm5ldA==?=",
    "Bob\x0b\x0cBcc: victim@example.net",
    "Bob\u2028Bcc: victim@example.net",
    "\r\n\r\n<html>",
    "Bob\x00",
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "field", ["name", "company", "service", "phone", "message", "request_id", "site", "locale"]
)
@pytest.mark.parametrize("typed", INJECTIONS)
def test_no_field_of_a_lead_injects_a_header(kind: Kind, field: str, typed: str) -> None:
    changes: dict[str, Any] = {field: typed}
    read = mail(kind, **changes)
    assert list(read.keys()) == HEADERS[kind]
    others = ("From", "Reply-To", "To", "Subject")
    assert "victim@example.net" not in " ".join(str(read[name]) for name in others)


@pytest.mark.parametrize(
    "typed",
    [
        "ada@example.com\r\nBcc: victim@example.net",
        "ada@example.com\nBcc:victim@example.net",
        "=?utf-8?q?=0a?=bcc@example.com",
        "ada@example.com, victim@example.net",
        "Ada <ada@example.com>",
        "ada@example.com>\r\nRCPT TO:<victim@example.net",
        "ada",
        "",
        "@example.com",
        "ada@exa\x00mple.com",
        "ada@" + "x" * 300 + ".com",
    ],
)
def test_an_invalid_address_prevents_the_welcome_but_no_alert(typed: str) -> None:
    with pytest.raises(UndeliverableError):
        mail("welcome", email=typed)
    assert list(mail("admin_alert", email=typed).keys()) == ["Date", "From", *REST]


@given(
    st.fixed_dictionaries(
        {name: st.text() for name in ("name", "email", "service", "message", "company", "phone")}
        | {"site": st.text(max_size=100)}
    )
)
def test_no_input_changes_the_headers(fields: dict[str, Any]) -> None:
    for kind in KINDS:
        try:
            read = mail(kind, **fields)
        except UndeliverableError:
            assert kind == "welcome"
        else:
            assert [name for name in read if name != "Reply-To"] == HEADERS["welcome"]
            assert len(read.get_all("Reply-To", [])) <= 1


@pytest.mark.parametrize("length", [10, 30, 60])
@pytest.mark.parametrize("kind", KINDS)
def test_regression_a_long_domain_does_not_fold_the_message_id(kind: Kind, length: int) -> None:
    domain = f"{'d' * length}.example.com"
    sent = mail(kind, identity=replace(IDENTITY, from_email=f"leads@{domain}"))
    assert sent["Message-ID"] == str(sent["Message-ID"]).strip()
    assert str(sent["Message-ID"]).endswith(f".{kind}@{domain}>")


def test_regression_an_alert_to_many_admins_is_sent() -> None:
    many = tuple(f"person-number-{at}@a-long-domain-of-{at}.example.com" for at in range(80))
    made = compose("admin_alert", lead(), replace(IDENTITY, admins=many), NOW)
    assert made.recipients == many
    assert max(map(len, made.content.split(b"\r\n"))) <= 998


def test_the_alert_shows_markup_as_text() -> None:
    script = "<script>alert('x')</script><img src=x onerror=alert(1)>"
    read = mail("admin_alert", name=script, message=script, extra={script: script}, company='"><b>')
    html = part(read, "html")
    assert "<script" not in html
    assert "<img" not in html
    assert "&lt;script&gt;" in html
    assert script in part(read, "plain")


def test_the_alert_shows_all_fields_and_links_to_the_lead() -> None:
    given_lead = lead(
        phone="+49 30 123", company="Analytical Engines", extra={"budget": 5000}, message="Line 1\nLine 2"
    )
    content = compose("admin_alert", given_lead, IDENTITY, NOW)
    assert content.recipients == ("boss@fast.example", "ops@fast.example")
    read = email.message_from_bytes(content.content, policy=email.policy.default)
    assert isinstance(read, EmailMessage)
    for kind in ("plain", "html"):
        text = part(read, kind)
        for value in ("Ada Lovelace", given_lead.email, "+49 30 123", "Analytical Engines", "5000", "Line 2"):
            assert str(value) in text
        assert f"https://x.example/admin/leads/{given_lead.lead_id}" in text


def test_the_alert_has_no_link_without_a_dashboard() -> None:
    read = mail("admin_alert", Identity("hello@fast.example", "F", ("boss@fast.example",)))
    assert "Open the lead" not in part(read, "html") + part(read, "plain")


def test_the_welcome_holds_no_input_but_the_name() -> None:
    read = mail(
        "welcome", message="SECRET", company="SECRET", service="SECRET", phone="SECRET", extra={"a": "SECRET"}
    )
    for kind in ("plain", "html"):
        assert "Thank you, " in part(read, kind)
        assert "Ada Lovelace" in part(read, kind)
        assert "SECRET" not in part(read, kind)


def test_the_welcome_escapes_the_name() -> None:
    assert "O&#39;Neil &amp; Söhne" in part(mail("welcome", name="O'Neil & Söhne"), "html")


@pytest.mark.parametrize(
    ("typed", "greeted"),
    [
        ("Ada Lovelace", "Ada Lovelace"),
        ("  Ada \t\r\n Lovelace ", "Ada Lovelace"),
        ("Dr. J. R. Tolkien", "Dr. J. R. Tolkien"),
        ("李小龙", "李小龙"),
        ("https://evil.example/win", ""),
        ("You won! evil.example", ""),
        ("call \uff45\uff56\uff49\uff4c\uff0e\uff43\uff4f\uff4d now", ""),
        ("mail bob@evil.example", ""),
        ("evil\u200b.com", ""),
        ("x" * 61, ""),
        ("\u202eevil", "evil"),
        ("<b>Ada</b>", ""),
    ],
)
def test_a_name_that_could_hold_a_message_is_omitted(typed: str, greeted: str) -> None:
    assert greeting_name(typed) == greeted


@pytest.mark.parametrize(
    ("typed", "encoded", "smtputf8"),
    [
        ("ada@exämple.de", "ada@xn--exmple-cua.de", False),
        ("ädä@exämple.de", "ädä@xn--exmple-cua.de", True),
        ("ada@mailhost", "ada@mailhost", False),
    ],
)
def test_a_non_ascii_address_is_encoded_for_smtp(typed: str, encoded: str, smtputf8: bool) -> None:
    made = compose("welcome", lead(email=typed), IDENTITY, NOW)
    assert made.recipients == (encoded,)
    assert made.smtputf8 is smtputf8


@pytest.mark.parametrize(
    ("message", "encoding"),
    [
        ("All of it ASCII.", "7bit"),
        ("Grüße", "quoted-printable"),
        ("x" * 999, "quoted-printable"),
        ("--=_fastcore_", "quoted-printable"),
    ],
)
def test_a_part_is_sent_unencoded_only_if_it_is_safe(message: str, encoding: str) -> None:
    read = mail("admin_alert", message=message)
    plain = read.get_body(("plain",))
    assert plain is not None
    assert plain["Content-Transfer-Encoding"] == encoding
    assert f"\n> {message}\n" in part(read, "plain").replace("\r\n", "\n")
