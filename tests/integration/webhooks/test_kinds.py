"""Each kind of destination reaches a real receiver with the request that it is made for."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from contracts.leads import LeadReceived
from contracts.reasons import Reason
from runtime.settings import Kafka, Postgres
from tests.support.factories import lead, post
from tests.support.services.webhooks import destination, webhooks, write_sites
from tests.support.wait import eventually
from tests.support.web.webhook_receiver import SECRET, Receiver, webhook_receiver

ADMIN_URL = "https://example.com/admin"
NAME = "Zoë <!channel> @everyone 名"


@asynccontextmanager
async def _receiver_of(
    kafka: Kafka, postgres: Postgres, folder: Path, monkeypatch: pytest.MonkeyPatch, **changes: Any
) -> AsyncIterator[Receiver]:
    """Run the service with one destination, and its receiver."""
    async with webhook_receiver() as receiver:
        sites = write_sites(folder, destination("it", receiver.url, **changes))
        async with webhooks(kafka, postgres, sites, monkeypatch, admin_url=ADMIN_URL):
            yield receiver


async def _received(receiver: Receiver, count: int = 1) -> list[str]:
    async def bodies() -> list[str]:
        return receiver.bodies

    return await eventually(bodies, until=lambda found: len(found) >= count, what="the request")


async def _delivered(db: Any, count: int = 1) -> None:
    await eventually(
        lambda: db.fetchval("SELECT count(*) FROM webhook_delivery WHERE state = 'delivered'"),
        until=lambda delivered: delivered == count, what="the delivery",
    )  # fmt: skip


async def _store(db: Any, sent: LeadReceived) -> None:
    """Store a lead as the persister does, so that it can be erased."""
    await db.execute(
        "INSERT INTO lead_inbox"
        " (id, request_id, site, email, service, name, message, body_sha256, created_at_utc)"
        " VALUES ($1, '', 'default', 'ada@example.com', '', 'Ada', 'Hello', '', now())",
        sent.lead_id,
    )


@pytest.mark.parametrize("kind", ["slack", "teams", "discord"])
async def test_a_chat_gets_a_message_with_a_link_and_no_signature(
    kafka: Kafka, postgres: Postgres, db: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    sent = lead(site="shop", name=NAME)
    async with _receiver_of(kafka, postgres, tmp_path, monkeypatch, kind=kind, secret=None) as receiver:
        await post(kafka, sent)
        (body,) = await _received(receiver)
        await _delivered(db)
    message, link = json.loads(body), f"{ADMIN_URL}/ui/leads/{sent.lead_id}"
    shown = {
        "slack": lambda: (message["blocks"][0]["text"]["text"], message["blocks"][-1]["text"]["text"]),
        "teams": lambda: (
            message["attachments"][0]["content"]["body"][0]["text"],
            message["attachments"][0]["content"]["actions"][0]["url"],
        ),
        "discord": lambda: (message["embeds"][0]["title"], message["embeds"][0]["url"]),
    }
    title, url = shown[kind]()
    assert "New lead from Zoë" in title
    assert "名" in title
    assert kind == "teams" or "<!channel>" not in title
    assert link in url
    assert receiver.headers[0]["content-type"] == "application/json"
    assert not [name for name in receiver.headers[0] if name.startswith("webhook-")]


async def test_a_chat_gets_at_most_one_message_a_second(
    kafka: Kafka, postgres: Postgres, db: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    async with _receiver_of(kafka, postgres, tmp_path, monkeypatch, kind="slack", secret=None) as receiver:
        times, accept = list[float](), receiver.answer

        async def note(request: Any) -> Any:
            times.append(loop.time())
            return await accept(request)

        receiver.answer = note
        await post(kafka, *[lead() for _ in range(3)])
        await _received(receiver, 3)
        await _delivered(db, 3)
    waits = [later - earlier for earlier, later in pairwise(times)]
    assert min(waits) > 0.9
    assert max(waits) < 1.8, "not only every second poll"


async def test_an_http_api_gets_its_template_method_and_secret_header(
    kafka: Kafka, postgres: Postgres, db: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TICKETS_AUTHORIZATION", "Bearer of-the-tests")
    settings = {
        "kind": "http",
        "secret": None,
        "method": "PUT",
        "content_type": "application/vnd.tickets+json",
        "headers": {"Authorization": "env:TICKETS_AUTHORIZATION", "X-Plain": "yes"},
        "body": '{"title": {{ lead.name | tojson }}, "key": {{ event_id | tojson }}}',
    }
    async with _receiver_of(kafka, postgres, tmp_path, monkeypatch, **settings) as receiver:
        methods, accept = list[str](), receiver.answer

        async def note(request: Any) -> Any:
            methods.append(request.method)
            return await accept(request)

        receiver.answer = note
        await post(kafka, lead(name=NAME))
        (body,) = await _received(receiver)
        await _delivered(db)
    event_id = await db.fetchval("SELECT event_id FROM webhook_delivery")
    assert json.loads(body) == {"title": NAME, "key": str(event_id)}
    headers = receiver.headers[0]
    assert (methods, headers["content-type"]) == (["PUT"], "application/vnd.tickets+json")
    assert (headers["authorization"], headers["x-plain"]) == ("Bearer of-the-tests", "yes")


@pytest.mark.parametrize("erased_body", [None, '{"gone": {{ lead.reference | tojson }}}'])
async def test_an_http_api_hears_of_an_erasure_if_it_has_a_template(
    kafka: Kafka,
    postgres: Postgres,
    db: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    erased_body: str | None,
) -> None:
    sent = lead()
    await _store(db, sent)
    settings = {"kind": "http", "secret": None, "body": "new", "erased_body": erased_body}
    async with _receiver_of(kafka, postgres, tmp_path, monkeypatch, **settings) as receiver:
        await post(kafka, sent)
        await _received(receiver)
        await _delivered(db)
        await db.execute("SELECT erase_lead($1, 'ann')", sent.lead_id)
        row = await eventually(
            lambda: db.fetchrow(
                "SELECT d.state, d.reason FROM webhook_delivery d JOIN webhook_event e ON e.id = d.event_id"
                " WHERE e.type = 'lead.erased' AND d.state IN ('delivered', 'suppressed')"
            ),
            what="the erasure's delivery",
        )
    if erased_body:
        assert [json.loads(body) for body in receiver.bodies[1:]] == [{"gone": str(sent.lead_id)[-8:]}]
        assert row["state"] == "delivered"
    else:
        assert receiver.bodies == ["new"]
        assert row["state"] == "suppressed"
        assert row["reason"] == Reason.TEMPLATE_MISSING


async def test_during_a_rotation_the_old_and_the_new_secret_verify(
    kafka: Kafka, postgres: Postgres, db: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = "whsec_" + base64.b64encode(b"the new secret of a rotation, 40 bytes..").decode()
    file = tmp_path / "new-secret"
    file.write_text(new + "\n")
    secrets = [f"file:{file}", "env:WEBHOOK_TEST_SECRET"]
    async with _receiver_of(kafka, postgres, tmp_path, monkeypatch, secret=secrets) as receiver:
        await post(kafka, lead())
        (body,) = await _received(receiver)
        await _delivered(db)
    assert receiver.unverified == 0
    for secret in (SECRET, new):
        Webhook(secret).verify(body, receiver.headers[0])
    with pytest.raises(WebhookVerificationError):
        Webhook("whsec_" + base64.b64encode(b"x" * 32).decode()).verify(body, receiver.headers[0])
