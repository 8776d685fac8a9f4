"""One lead is one trace, from the website's span to the mail server's answer, also over a retry."""

from uuid import uuid4

import pytest

from tests.e2e.conftest import Watched
from tests.support.wait import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")
Edge = tuple[str, str, str, str]  # service, kind, name, parent's name (of the website's span: its id)
WAY: set[Edge] = {
    ("ingest", "producer", "send leads.received.v1", "POST /inbound/leads"),
    ("persister", "consumer", "process leads.received.v1", "send leads.received.v1"),
    ("persister", "client", "insert_leads", "process leads.received.v1"),
    ("notifier", "consumer", "process leads.received.v1", "send leads.received.v1"),
    ("notifier", "client", "smtp admin_alert", "process leads.received.v1"),
    ("notifier", "client", "smtp welcome", "process leads.received.v1"),
    ("notifier", "client", "move_mails", "smtp admin_alert"),
    ("notifier", "producer", "send leads.failed.v1", "process leads.received.v1"),
    ("flusher", "consumer", "process leads.failed.v1", "send leads.failed.v1"),
    ("flusher", "producer", "send leads.retry.notifier.v1", "send leads.failed.v1"),
    ("notifier", "consumer", "process leads.retry.notifier.v1", "send leads.retry.notifier.v1"),
    ("notifier", "client", "smtp welcome", "process leads.retry.notifier.v1"),
}
SHOWN = ("http.response.status_code", "smtp.response.code", "smtp.outcome", "fastcore.lead_id")


async def test_a_lead_and_its_retry_are_one_trace(watched: Watched) -> None:
    email, trace_id, website = f"ada-{uuid4().hex[:8]}@example.com", uuid4().hex, uuid4().hex[:16]
    # The welcome is greylisted once, so that the lead goes by the replay queue.
    watched.smtp.then(f"rcpt:{email}", "450 4.2.0 come back later")
    body = {"name": "Ada", "email": email, "service": "Web", "message": "Hello"}
    answer = await watched.installation.post(body, traceparent=f"00-{trace_id}-{website}-01")
    lead_id = answer.json()["leadId"]

    async def waiting() -> int:
        stats = (await watched.installation.admin("GET", "/admin/queue/stats")).json()
        return sum(stage["waiting"] for stage in stats["stages"])

    async def mails() -> set[str]:
        return {k for k in ("welcome", "admin_alert") if watched.smtp.of(lead_id, k)}

    async def edges() -> set[Edge]:
        seen, prefix = watched.collector.of(trace_id), watched.installation.kafka.topic_prefix
        names = {span.span_id: span.name.replace(prefix, "") for span in seen}
        return {
            (
                s.service.removeprefix("fastcore-"),
                s.kind,
                names[s.span_id],
                names.get(s.parent_id, s.parent_id),
            )
            for s in seen
        }

    await eventually(waiting, what="the welcome in the queue")
    await watched.installation.admin("POST", "/admin/queue/flush")
    await eventually(mails, until=lambda kinds: len(kinds) == 2, what="both mails")
    # Each service sends its spans on a clock of its own: an earlier hop's may be the last to come.
    await eventually(
        edges, until=lambda found: found >= WAY | {("ingest", "server", "POST /inbound/leads", website)}
    )
    seen = watched.collector.of(trace_id)
    print("\n" + "\n".join(watched.collector.tree(trace_id, *SHOWN)))  # noqa: T201 - pytest -s shows it
    assert {s.attributes["smtp.response.code"] for s in seen if s.name == "smtp welcome"} == {450, 250}
    assert all(
        s.attributes["fastcore.lead_id"] == lead_id for s in seen if s.kind in ("producer", "consumer")
    )
    assert {s.attributes.get("http.response.status_code") for s in seen if s.kind == "server"} == {201}
    assert email not in str(seen)


async def test_what_a_service_logs_about_one_lead_names_it_and_its_trace(watched: Watched) -> None:
    trace_id, correlation_id = uuid4().hex, f"request-{uuid4().hex}"
    body = {"name": "Eve", "email": f"eve-{uuid4().hex[:8]}@example.com", "service": "Web", "message": "Hi"}
    headers = {"traceparent": f"00-{trace_id}-{uuid4().hex[:16]}-01", "X-Request-ID": correlation_id}
    lead_id = (await watched.installation.post(body, **headers)).json()["leadId"]
    log = watched.installation.services["notifier"].log

    async def lines() -> list[str]:
        return [line for line in log.read_text().splitlines() if lead_id in line]

    found = await eventually(lines, until=lambda said: len(said) == 2)
    assert all(f'"correlation_id": "{correlation_id}"' in line for line in found)
    assert all(f'"trace_id": "{trace_id}"' in line for line in found)
