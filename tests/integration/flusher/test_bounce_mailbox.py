"""The mailbox with reports of bounces, on a real Dovecot: logins, messages that are no report, and faults."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from runtime.failures import DependencyUnavailable
from runtime.health import Health
from runtime.kafka.publisher import Publisher, open_publisher
from runtime.settings import Kafka, Postgres
from services.flusher.bounces import imap_mailbox
from services.flusher.bounces.imap_mailbox import ImapMailbox, MailboxRefused
from services.flusher.bounces.mailbox_job import BounceMailboxJob
from services.flusher.bounces.report_publisher import publish_report
from services.flusher.retries.retry_scheduler import utc_now
from services.flusher.settings import BounceMailbox, Settings, SmtpLogin
from tests.support.factories import lead
from tests.support.mail.events import add_mail
from tests.support.mail.imap import PASSWORD, USER, ImapServer, imap_server
from tests.support.mail.providers import LEAD_ID
from tests.support.mail.token_endpoint import TokenEndpoint, token_endpoint
from tests.support.services.flusher import flusher
from tests.support.wait import eventually

REPORTS = Path(__file__).parents[2] / "support/mail/reports"
BOUNCE = (REPORTS / "postfix.eml").read_bytes()
MakeJob = Callable[..., BounceMailboxJob]


@pytest.fixture
async def endpoint() -> AsyncIterator[TokenEndpoint]:
    async with token_endpoint() as running:
        running.user = USER
        yield running


@pytest.fixture
def server(endpoint: TokenEndpoint, monkeypatch: pytest.MonkeyPatch) -> Any:
    with imap_server(endpoint.url) as running:
        monkeypatch.setenv("SSL_CERT_FILE", str(running.authority))
        yield running


@pytest.fixture
async def publisher(kafka: Kafka) -> AsyncIterator[Publisher]:
    async with open_publisher(kafka, "test", Health()) as opened:
        yield opened


@pytest.fixture
def job(kafka: Kafka, postgres: Postgres, publisher: Publisher, server: ImapServer) -> MakeJob:
    """Make the job, with another login if it is given."""

    def make(smtp: dict[str, Any] | None = None, **mailbox: Any) -> BounceMailboxJob:
        login = mailbox if "login_as_smtp" in mailbox else {"user": USER, "password": PASSWORD} | mailbox
        settings = Settings(
            kafka=kafka,
            postgres=postgres,
            bounce_mailbox=BounceMailbox.model_validate(
                {"host": "127.0.0.1", "port": server.port, "done_folder": "Done"} | login
            ),
            smtp_login=SmtpLogin.model_validate(smtp or {}),
        )
        return BounceMailboxJob(settings, publisher, None, utc_now)  # type: ignore[arg-type] # no runs

    return make


def grant_of(endpoint: TokenEndpoint) -> dict[str, Any]:
    return {
        "user": USER,
        "oauth_flow": "refresh_token",
        "oauth_token_url": endpoint.url,
        "oauth_client_id": "client",
        "oauth_refresh_token": "refresh",
        "oauth_scope": "smtp",
    }


async def test_a_report_is_moved_and_other_mails_stay(job: MakeJob, server: ImapServer) -> None:
    reply = (REPORTS / "reply.eml").read_bytes()
    broken = b"Content-Type: multipart/report; boundary=\xff\r\nSubject: =?x?\x00\r\n\r\n--\xff\r\n\r\n"
    giant = b"Subject: holiday\r\n\r\n" + b"x" * 78 * 40_000
    for content in (broken, giant, reply, BOUNCE):
        server.add(content)
    running = job()
    report = await running.read()
    assert (report.reason, report.details) == (None, {"messages": 4, "no_report": 3, "events": 1})
    assert (server.count(), server.count(".Done")) == (3, 1)
    assert (await running.read()).details == {"messages": 0}
    server.add(BOUNCE)
    assert (await job(done_folder="").read()).details["events"] == 1
    assert (server.count(), server.count(".Done")) == (3, 1)


async def test_a_message_that_breaks_the_reader_stops_no_other(
    job: MakeJob, server: ImapServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = publish_report

    async def publish(to: Publisher, content: bytes) -> Any:
        if b"poison" in content:
            raise ZeroDivisionError
        return await real(to, content)

    monkeypatch.setattr("services.flusher.bounces.mailbox_job.publish_report", publish)
    server.add(b"Subject: poison\r\n\r\n")
    server.add(BOUNCE)
    running = job()
    assert (await running.read()).details == {"messages": 2, "unreadable": 1, "events": 1}
    assert (await running.read()).details == {"messages": 0}


async def test_a_token_logs_in_and_a_refused_one_is_renewed_once(
    job: MakeJob, server: ImapServer, endpoint: TokenEndpoint
) -> None:
    server.add(BOUNCE)
    running = job(smtp=grant_of(endpoint), login_as_smtp=True, oauth_scope="imap")
    assert (await running.read()).details == {"messages": 1, "events": 1}
    assert [each["scope"] for each in endpoint.requests] == ["imap"]
    endpoint.valid.clear()
    assert (await running.read()).details == {"messages": 0}
    assert len(endpoint.requests) == 2
    endpoint.valid.clear()
    for _ in range(2):
        with pytest.raises(MailboxRefused, match="refused the login"):
            await running.read()
    assert len(endpoint.requests) == 2
    endpoint.fail("invalid_client")
    own = {**grant_of(endpoint), "password": None}
    with pytest.raises(DependencyUnavailable, match="FASTCORE_BOUNCE_MAILBOX_OAUTH_CLIENT_ID"):
        await job(**own).read()


async def test_a_wrong_password_fails_the_run(job: MakeJob) -> None:
    with pytest.raises(MailboxRefused, match="refused the login"):
        await job(password="wrong").read()


async def test_a_report_stays_until_kafka_has_its_events(
    job: MakeJob, server: ImapServer, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unavailable(*_: Any, **__: Any) -> None:
        raise DependencyUnavailable("kafka", "no acknowledgement")

    server.add(BOUNCE)
    running = job()
    with monkeypatch.context() as patched:
        patched.setattr(publisher, "send", unavailable)
        with pytest.raises(DependencyUnavailable, match="no acknowledgement"):
            await running.read()
    assert (server.count(), server.count(".Done")) == (1, 0)
    assert (await running.read()).details == {"messages": 1, "events": 1}


async def test_a_report_that_was_published_and_not_moved_is_applied_once(
    job: MakeJob, server: ImapServer, kafka: Kafka, postgres: Postgres, db: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def killed(_self: ImapMailbox, _uid: bytes) -> None:
        raise RuntimeError("the process ends here")

    await add_mail(db, lead(lead_id=LEAD_ID, email="gone@visitor.example"))
    server.add(BOUNCE)
    with monkeypatch.context() as patched:
        patched.setattr(ImapMailbox, "remove", killed)
        with pytest.raises(RuntimeError, match="ends here"):
            await job().read()
    assert server.count() == 1
    assert (await job().read()).details == {"messages": 1, "events": 1}
    assert (server.count(), server.count(".Done")) == (0, 1)
    async with flusher(kafka, postgres):
        counted = "SELECT sum(next_offset - base_offset) FROM partition_ledger"
        await eventually(lambda: db.fetchval(counted), until=lambda count: count == 2)
    bounced = "SELECT count(*) FROM audit_log WHERE event = 'email.bounced'"
    assert await db.fetchval(bounced) == 1


async def test_a_folder_that_takes_no_messages_fails_the_run_and_stops_nothing(
    job: MakeJob, server: ImapServer
) -> None:
    server.add(BOUNCE)
    server.add(b"Subject: hello\r\n\r\n")
    running = job(done_folder="x/../y")
    report = await running.read()
    assert (report.reason or "").endswith("refuses to give or to move a message")
    assert (report.details, report.retry) == ({"messages": 2, "not_moved": 1, "no_report": 1}, False)
    assert server.count() == 2


@asynccontextmanager
async def dripping_server(greeting: bytes) -> AsyncIterator[int]:
    """A server that sends a byte now and then, and never ends its line."""

    ended, tasks = asyncio.Event(), set[asyncio.Task[None] | None]()

    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())
        writer.write(greeting)
        with contextlib.suppress(ConnectionError):
            while not (ended.is_set() or writer.is_closing()):
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.1)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        listening.close()
        ended.set()
        await asyncio.gather(*filter(None, tasks))


@pytest.mark.parametrize("greeting", [b"", b"* OK ready\r\n"])
async def test_a_server_that_never_ends_its_reply_is_left(
    job: MakeJob, monkeypatch: pytest.MonkeyPatch, greeting: bytes
) -> None:
    monkeypatch.setattr(imap_mailbox, "CONNECTION_SECONDS", 1.0)
    async with dripping_server(greeting) as port:
        began = time.monotonic()
        with pytest.raises(DependencyUnavailable, match="does not answer"):
            await job(port=port).read()
        assert time.monotonic() - began < 5
