"""Replies as mail programs make them, through a real Postfix: from the team's mailbox to that of the lead."""

import asyncio
import smtplib
from collections.abc import Iterator
from datetime import UTC, datetime
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.utils import parseaddr
from urllib.parse import parse_qs, unquote, urlsplit
from uuid import UUID

import pytest

from contracts.failures import Kind
from contracts.leads import LeadReceived
from runtime.health import Health
from runtime.settings import Kafka, Postgres
from services.notifier.mail.message import Identity, compose
from services.notifier.settings import Smtp
from services.notifier.smtp.mailer import open_mailer
from services.notifier.smtp.outcome import MailStatus
from tests.support.factories import lead
from tests.support.mail.client import reply_to
from tests.support.mail.html import Document, part_of
from tests.support.mail.postfix import Postfix, postfix
from tests.support.services.notifier import notifier_settings
from tests.support.wait import eventually

IDENTITY = Identity(
    "hello@fast.example", "FAST, Söhne", ("team@mailbox.example",), reply_to="office@mailbox.example"
)
# The name that a visitor typed, and the name that the mail program shows. An empty one is left out.
NAMES = [
    ("Ada Lovelace", "Ada Lovelace"),
    ('Lovelace, Ada "the first" <x>', 'Lovelace, Ada "the first" <x>'),
    ("Łukasz Żółć-Straße, „Lu“", "Łukasz Żółć-Straße, „Lu“"),
    ("Back\\slash (comment) [list]; a.b:", "Back\\slash (comment) [list]; a.b:"),
    # Several encoded words (RFC 2047, 5): the blanks between them are none of the name's.
    (f"{'Ä Ö ' * 18}Ü", f"{'Ä Ö ' * 18}Ü"),
    ("👩‍💻 王小明", "👩‍💻 王小明"),
    ("=?utf-8?q?Eve?= <eve@mailbox.example>", ""),
    ("team@mailbox.example", ""),
    ("Ada\r\nBcc: eve", "Ada Bcc: eve"),
    (None, ""),
]


@pytest.fixture(scope="module")
def server() -> Iterator[Postfix]:
    with postfix() as running:
        yield running


@pytest.fixture
def smtp(server: Postfix) -> Smtp:
    return Smtp.model_validate({"host": "127.0.0.1", "port": server.ports["recipient"], "tls": False})


async def deliver(kafka: Kafka, postgres: Postgres, smtp: Smtp, kind: Kind, about: LeadReceived) -> None:
    """Send a mail as the notifier does, without a record."""

    async def nothing_to_commit() -> None: ...

    mail = compose(kind, about, IDENTITY, datetime.now(UTC))
    async with open_mailer(notifier_settings(kafka, postgres, smtp), Health(), asyncio.Event()) as mailer:
        assert (await mailer.send(mail, nothing_to_commit)).status is MailStatus.SENT


def send(server: Postfix, message: EmailMessage) -> None:
    """Send a mail as a mail program does: to the addresses of its headers."""
    with smtplib.SMTP("127.0.0.1", server.ports["recipient"], timeout=20) as client:
        assert client.send_message(message) == {}


async def delivered(server: Postfix, mailbox: str, lead_id: UUID) -> EmailMessage:
    """Wait for the mail about this lead in a mailbox: its Message-ID or References has the lead's id."""

    async def found() -> list[EmailMessage]:
        return [
            each
            for each in server.mails_of(mailbox)
            if str(lead_id) in f"{each['Message-ID']} {each['References']}"
        ]

    mails = await eventually(found, until=bool, what=f"a mail to {mailbox}")
    return mails[0]


def shown_name(alert: EmailMessage) -> str:
    """Return the name in Reply-To as older parsers read it.

    Python's newer one may keep a blank between two encoded words (cpython #128110).
    """
    raw = dict(alert.raw_items())["Reply-To"]
    return str(make_header(decode_header(parseaddr(raw)[0])))


@pytest.mark.parametrize(("typed", "shown"), NAMES, ids=range(len(NAMES)))
async def test_a_reply_to_an_alert_reaches_the_lead(
    server: Postfix, kafka: Kafka, postgres: Postgres, smtp: Smtp, typed: str | None, shown: str
) -> None:
    asking = lead(name=typed, email="ada@mailbox.example")
    await deliver(kafka, postgres, smtp, "admin_alert", asking)
    alert = await delivered(server, "team", asking.lead_id)
    (mailbox,) = alert["Reply-To"].addresses
    assert mailbox.addr_spec == "ada@mailbox.example"
    assert alert["Reply-To"].defects == ()
    assert shown_name(alert) == shown

    send(server, reply_to(alert, "team@mailbox.example", "We call you tomorrow."))
    reply = await delivered(server, "ada", asking.lead_id)
    assert reply.get_content().startswith("We call you tomorrow.")
    assert (reply["In-Reply-To"], reply["References"]) == (alert["Message-ID"], alert["Message-ID"])
    assert str(reply["Subject"]) == f"Re: New lead {str(asking.lead_id)[-8:]}"
    assert [each.addr_spec for each in reply["To"].addresses] == ["ada@mailbox.example"]


async def test_a_reply_to_a_welcome_reaches_the_office_of_the_site(
    server: Postfix, kafka: Kafka, postgres: Postgres, smtp: Smtp
) -> None:
    asking = lead(email="ada@mailbox.example")
    await deliver(kafka, postgres, smtp, "welcome", asking)
    welcome = await delivered(server, "ada", asking.lead_id)
    send(server, reply_to(welcome, "ada@mailbox.example", "I forgot something."))
    assert (await delivered(server, "office", asking.lead_id))["In-Reply-To"] == welcome["Message-ID"]


async def test_without_an_address_a_reply_to_an_alert_goes_to_the_sender(
    server: Postfix, kafka: Kafka, postgres: Postgres, smtp: Smtp
) -> None:
    asking = lead(email=None, phone="+44 20 7946 0958")
    await deliver(kafka, postgres, smtp, "admin_alert", asking)
    alert = await delivered(server, "team", asking.lead_id)
    reply = reply_to(alert, "team@mailbox.example", "Hello?")
    assert [each.addr_spec for each in reply["To"].addresses] == ["hello@fast.example"]
    assert reply["To"].addresses[0].display_name == "FAST, Söhne"


async def test_the_button_reply_writes_to_the_lead_and_quotes_the_reference(
    server: Postfix, kafka: Kafka, postgres: Postgres, smtp: Smtp
) -> None:
    asking = lead(email="ada@mailbox.example")
    await deliver(kafka, postgres, smtp, "admin_alert", asking)
    alert = await delivered(server, "team", asking.lead_id)
    links = Document(part_of(alert.as_bytes(), "html")).all("a")
    url = urlsplit(next(each.attributes["href"] for each in links if each.text == "Reply"))
    message = EmailMessage()
    message["From"], message["To"] = "team@mailbox.example", unquote(url.path)
    message["Subject"] = parse_qs(url.query)["subject"][0]
    message["References"] = alert["Message-ID"]
    message.set_content("Hello Ada")
    send(server, message)
    arrived = await delivered(server, "ada", asking.lead_id)
    assert str(arrived["Subject"]) == f"Re: Your request {str(asking.lead_id)[-8:]}"
