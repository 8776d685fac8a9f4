"""The way of a lead through the whole installation, in the cases that people meet."""

import asyncio
import json
from typing import Any
from uuid import uuid4

import httpx

from contracts import headers, topics
from tests.support.factories import lead, producer, records_of
from tests.support.services.installation import INGEST_TOKEN, Installation
from tests.support.wait import eventually
from tests.support.web.plain_http import plain_client

BODY = {"name": "Grace Hopper", "email": "grace@example.com", "service": "Hosting", "message": "Call me."}


def body(**changes: Any) -> dict[str, Any]:
    return {**BODY, "email": f"grace-{uuid4().hex[:8]}@example.com", **changes}


async def rows(installation: Installation, lead_id: str) -> int:
    found = await installation.fetch("SELECT count(*) FROM lead_inbox WHERE id = $1", lead_id)
    return int(found[0]["count"])


async def mails_of(installation: Installation, lead_id: str) -> list[str]:
    return sorted(m["message_id"] for m in await installation.mails() if lead_id in m["message_id"])


async def test_idempotency_key_gives_one_lead_one_row_and_one_email_per_kind(
    installation: Installation,
) -> None:
    key, sent = uuid4().hex, body()
    answers = [await installation.post(sent, **{"Idempotency-Key": key}) for _ in range(2)]
    assert [a.status_code for a in answers] == [201, 201]
    (lead_id,) = {a.json()["leadId"] for a in answers}
    assert answers[1].headers["Idempotent-Replayed"] == "true"
    await eventually(lambda: mails_of(installation, lead_id), until=lambda ids: len(ids) == 2)
    # A third post after all is done: still nothing twice.
    assert (await installation.post(sent, **{"Idempotency-Key": key})).json()["leadId"] == lead_id
    after = (await installation.post(body())).json()["leadId"]
    await eventually(lambda: mails_of(installation, after), until=lambda ids: len(ids) == 2)
    assert len(await mails_of(installation, lead_id)) == 2
    assert await rows(installation, lead_id) == 1


async def test_a_post_with_curl_s_default_content_type_is_accepted(installation: Installation) -> None:
    async with installation.client() as client:
        answer = await client.post(
            "/inbound/leads",
            content=json.dumps(body()),
            headers={
                "Authorization": f"Bearer {INGEST_TOKEN}",
                "Content-Type": "application/x-www-form-urlencoded",
            },
        )
    assert answer.status_code == 201, answer.text


async def test_internal_status_is_not_reachable_through_the_edge(installation: Installation) -> None:
    async with installation.client() as client:
        assert (await client.get("/internal/status")).status_code == 404


async def test_a_lead_that_looks_like_spam_is_stored_and_never_mailed(installation: Installation) -> None:
    answer = await installation.post(body(meta={"honeypot": "http://spam.example"}))
    assert answer.status_code == 201
    lead_id = answer.json()["leadId"]

    async def states() -> list[tuple[str, str]]:
        found = await installation.fetch(
            "SELECT kind, state FROM email_delivery WHERE lead_id = $1 ORDER BY kind", lead_id
        )
        return [(row["kind"], row["state"]) for row in found]

    assert await eventually(states) == [("admin_alert", "suppressed"), ("welcome", "suppressed")]

    async def status() -> Any:
        answer = await installation.admin("GET", f"/admin/leads/{lead_id}")
        found = answer.json().get("lead") if answer.status_code == 200 else None
        return found and found["status"]

    assert await eventually(status) == "spam"
    assert await mails_of(installation, lead_id) == []
    # An admin's word makes it a lead like any other.
    changed = await installation.admin("PATCH", f"/admin/leads/{lead_id}/status?new_status=received")
    assert changed.status_code == 200, changed.text
    await eventually(
        lambda: mails_of(installation, lead_id), until=lambda ids: len(ids) == 2, what="the mails after all"
    )


async def test_poison_between_good_leads_ends_in_the_archive_byte_for_byte(
    installation: Installation,
) -> None:
    topic = installation.kafka.topic_prefix + topics.RECEIVED.name
    good, poison = [lead(), lead()], b"\x00\xff no json " + uuid4().bytes
    async with producer(installation.kafka) as sender:
        await sender.send_and_wait(topic, good[0].model_dump_json().encode(), partition=3)
        bad = await sender.send_and_wait(topic, poison, partition=3)
        odd = [("note", b"\xff\xfe")]
        await sender.send_and_wait(topic, good[1].model_dump_json().encode(), partition=3, headers=odd)

    for each in good:
        await eventually(lambda: rows(installation, str(each.lead_id)), what="the good lead")  # noqa: B023

    async def archived() -> list[Any]:
        return [r for r in await records_of(installation.kafka, topics.DEAD.name) if r.value == poison]

    (record,) = await eventually(archived, what="the dead letter")
    assert headers.text(record.headers, headers.EXCEPTION_MESSAGE) == "undecodable"
    assert headers.text(record.headers, headers.ORIGINAL_TOPIC) == topic
    assert headers.text(record.headers, headers.ORIGINAL_PARTITION) == "3"
    assert headers.text(record.headers, headers.ORIGINAL_OFFSET) == str(bad.offset)


async def test_a_persister_killed_under_load_stores_every_lead_once(installation: Installation) -> None:
    total, at_once = 5000, 25
    service = f"load-{uuid4().hex[:8]}"
    persister = installation.services["persister"]
    posted = 0

    async def poster(client: httpx.AsyncClient, count: int) -> None:
        nonlocal posted
        for _ in range(count):
            answer = await client.post(
                "/inbound/leads",
                json=body(service=service, meta={"honeypot": "x"}),  # spam: stored like any, without mails
                headers={"Authorization": f"Bearer {INGEST_TOKEN}"},
            )
            assert answer.status_code == 201, answer.text
            posted += 1

    async def killer() -> None:
        async def progress() -> int:
            return posted

        await eventually(progress, until=lambda n: n > total // 4, seconds=60)
        persister.kill()
        await eventually(progress, until=lambda n: n > total // 2, seconds=60)
        persister.start()

    async with plain_client(base_url=installation.services["ingest"].url, timeout=30) as client:
        await asyncio.gather(killer(), *(poster(client, total // at_once) for _ in range(at_once)))

    async def stored() -> tuple[int, int]:
        found = await installation.fetch(
            "SELECT (SELECT count(*) FROM lead_inbox WHERE service = $1) leads,"
            " (SELECT count(*) FROM audit_log a JOIN lead_inbox l ON l.id = a.lead_id"
            "  WHERE l.service = $1 AND a.event = 'lead.received') entries",
            service,
        )
        return found[0]["leads"], found[0]["entries"]

    wanted = (total, total)
    assert await eventually(stored, until=lambda seen: seen == wanted, seconds=90) == wanted
    await persister.ready(60)
