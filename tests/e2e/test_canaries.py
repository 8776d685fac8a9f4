"""No personal data where none belongs: values that occur nowhere else are posted every way, and searched for.

They belong in `lead_inbox`, in a record's value and in the mails. An idempotency key is the website's own
opaque id: it stands in the audit log as `request_id`, and nowhere else that is searched here.
"""

import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from contracts import topics
from tests.e2e.conftest import Watched
from tests.support.factories import lead, post, producer, records_of
from tests.support.services.installation import INGEST_TOKEN, Installation
from tests.support.wait import eventually
from tests.support.web.otlp_collector import until_spans_stop
from tests.support.web.plain_http import plain_client

pytestmark = pytest.mark.asyncio(loop_scope="session")
TAG = f"canary{uuid4().hex[:10]}"
KEY = f"key{uuid4().hex[:10]}"
IP = "2001:db8:ca9a::77"


def body(number: int, **changes: Any) -> dict[str, Any]:
    """A lead with a canary in every field."""
    said = {
        name: f"{name} {TAG}"
        for name in ("name", "service", "message", "phone", "company", "unknown field", f"{TAG} as a name")
    }
    source = dict.fromkeys(("utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content"), f"{TAG}")
    urls = dict.fromkeys(("page_url", "referrer"), f"https://{TAG}.example/?who={TAG}")
    meta = {
        "ip": IP,
        "user_agent": f"Mozilla {TAG}",
        "consent_text": f"I agree {TAG}",
        "consent_version": TAG,
    }
    email = f"{TAG}.{number}@example.com"
    return {**said, "email": email, "consent": True, "source": source | urls, "meta": meta, **changes}


async def everything_posted(watched: Watched) -> list[str]:
    """Post every submission and act on the leads; return the ids of the accepted leads."""
    inst, made = watched.installation, []
    for number in range(3):
        answer = await inst.post(body(number), **{"Idempotency-Key": f"{KEY}{number}", "User-Agent": TAG})
        assert answer.status_code == 201, answer.text
        made.append(answer.json()["leadId"])
    # Refused for good by a mail server that quotes the address; put off; spam.
    watched.smtp.always[f"rcpt:{TAG}.10@example.com"] = f"550 5.1.1 <{TAG}.10@example.com> unknown {TAG}"
    watched.smtp.then(f"rcpt:{TAG}.11@example.com", f"451 4.7.1 {TAG} come back")
    made += [(await inst.post(body(number))).json()["leadId"] for number in (10, 11)]
    spam = body(12)
    spam["meta"]["honeypot"] = f"http://{TAG}.example"
    made.append((await inst.post(spam)).json()["leadId"])
    # A second body under one id, past the gateway's memory; and what nobody can read.
    other = lead(lead_id=made[0], name=TAG, email=f"{TAG}.20@example.com", message=TAG, request_id=f"{KEY}0")
    await post(inst.kafka, other)
    async with producer(inst.kafka) as sender:
        topic = inst.kafka.topic_prefix + topics.RECEIVED.name
        for poison in (TAG.encode(), json.dumps({"email": TAG, "name": [TAG]}).encode()):
            await sender.send_and_wait(topic, poison, key=TAG.encode(), headers=[("note", TAG.encode())])
    await refusals(inst)
    await admin_s_questions(inst, made[0])
    return made


async def refusals(inst: Installation) -> None:
    bad: list[tuple[Any, dict[str, str], int]] = [
        (body(30, email=f"{TAG} is no address", phone=[]), {}, 422),
        (body(31, email="", phone="", submitted_at=TAG), {"X-Request-ID": f"{TAG}@example.com"}, 422),
        (body(32), {"Authorization": f"Bearer {TAG}"}, 401),
        (body(33, message=TAG * 30_000), {}, 413),
        (body(0, message="another body"), {"Idempotency-Key": f"{KEY}0"}, 422),
    ]
    for given, headers, status in bad:
        answer = await inst.post(given, traceparent=f"00-{TAG}", **headers)
        assert answer.status_code == status, answer.text
        assert TAG not in answer.text
    async with inst.client() as client:
        headers = {"Authorization": f"Bearer {INGEST_TOKEN}", "Referer": f"https://{TAG}.example"}
        await client.post(f"/inbound/leads?email={TAG}", content=f"{{{TAG}", headers=headers)
        await client.get(f"/{TAG}?email={TAG}@example.com")
        await client.request(TAG.upper(), "/inbound/leads")


async def admin_s_questions(inst: Installation, lead_id: str) -> None:
    async def stored() -> int:
        return (await inst.admin("GET", f"/admin/leads/{lead_id}")).status_code

    await eventually(stored, until=lambda status: status == 200)
    await inst.admin("GET", f"/admin/leads?q={TAG}&service={TAG}")
    await inst.admin("GET", f"/admin/leads/{TAG}")
    await inst.admin("GET", f"/admin/audit?q={TAG}&event={TAG}")
    await inst.admin("PATCH", f"/admin/leads/{lead_id}", json={"notes": TAG, "name": f"Other {TAG}"})
    await inst.admin("PATCH", f"/admin/leads/{lead_id}/status?new_status={TAG}")
    async with inst.client() as client:
        await client.get(
            "/admin/leads", headers={"Authorization": f"Bearer {TAG}", "Cookie": f"session={TAG}"}
        )


async def quiet(watched: Watched, made: list[str]) -> None:
    """Wait until every lead has its end: sent, dead, waiting or suppressed, and the poison is archived."""

    async def open_mails() -> int:
        (row,) = await watched.installation.fetch(
            "SELECT count(*) FILTER (WHERE state IN ('reserved', 'sending')) + 2 * $2 - count(*) AS open"
            " FROM email_delivery WHERE lead_id = ANY($1::uuid[])",
            made,
            len(made),
        )
        return int(row["open"])

    async def archived() -> int:
        dead = await records_of(watched.installation.kafka, topics.DEAD.name)
        return sum(TAG.encode() in (record.value or b"") for record in dead)

    await eventually(open_mails, until=lambda left: left == 0, seconds=60, what="every mail's end")
    # Two that cannot be read, one conflict, one address that does not exist.
    await eventually(archived, until=lambda found: found >= 4, seconds=60, every=1, what="the dead letters")
    await until_spans_stop(watched.collector)


async def places(watched: Watched) -> list[tuple[str, str]]:
    """Return every text that must contain no personal data, by the place where it is read."""
    inst = watched.installation
    found = [(f"log of {name}", service.log.read_text()) for name, service in inst.services.items()]
    async with plain_client(timeout=10) as client:
        for name, service in inst.services.items():
            found.append((f"metrics of {name}", (await client.get(f"{service.url}/metrics")).text))
    found += [(f"span of {span.service}", span.everything) for span in watched.collector.spans]
    for topic in topics.ALL:
        for record in await records_of(inst.kafka, topic.name):
            if ("note", TAG.encode()) not in record.headers:  # the poisoner's own
                found.append((f"headers on {topic.name}", str(record.headers)))
    return found


async def audit(watched: Watched) -> list[tuple[str, str]]:
    rows = await watched.installation.fetch("SELECT * FROM audit_log")
    return [("audit log", str(dict(row))) for row in rows]


def leaks(texts: list[tuple[str, str]], *canaries: str) -> Iterator[str]:
    for place, text in texts:
        for canary in canaries:
            if (at := text.lower().find(canary.lower())) >= 0:
                yield f"{place}: ...{text[max(0, at - 150) : at + 60]}"


async def test_what_people_type_is_in_no_log_header_metric_span_or_audit_entry(watched: Watched) -> None:
    made = await everything_posted(watched)
    await quiet(watched, made)
    searched, entries = await places(watched), await audit(watched)
    found = [*leaks(searched, TAG, KEY, IP), *leaks(entries, TAG, IP)]
    assert not found, "\n".join(sorted(set(found)))
    # They are where they belong, and every place was searched.
    stored = await watched.installation.fetch("SELECT * FROM lead_inbox WHERE email LIKE $1", f"{TAG}%")
    assert len(stored) == len(made)
    assert any(TAG.encode() in mail.content for mail in watched.smtp.mails)
    assert {place.split()[0] for place, _ in searched} == {"log", "metrics", "span", "headers"}
    assert any("lead.rejected" in text for _, text in entries)
