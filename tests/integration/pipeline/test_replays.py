"""Replays from the workbench to the mail: admin, flusher, notifier and persister on real parts."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from contracts.leads import LeadReceived
from runtime.settings import Kafka, Postgres
from services.notifier.app import create_app as create_notifier
from services.notifier.settings import Settings as NotifierSettings
from services.persister.app import create_app as create_persister
from services.persister.settings import Settings as PersisterSettings
from tests.support.factories import lead, post
from tests.support.mail.smtp import SmtpServer, smtp_server
from tests.support.services.admin import Admin, running_admin
from tests.support.services.flusher import flusher
from tests.support.wait import eventually

REFUSED = "550 5.1.1 no such user"


@dataclass
class Pipeline:
    """All consumers and the admin, in this process, and a mail server with scripted replies."""

    admin: Admin
    server: SmtpServer
    kafka: Kafka

    async def let_welcomes_die(self, count: int) -> list[LeadReceived]:
        """Post leads whose welcome is refused for good."""
        leads = [lead(email=f"visitor{number}@example.com") for number in range(count)]
        for each in leads:
            self.server.always[f"rcpt:{each.email}"] = REFUSED
        await post(self.kafka, *leads)
        await self.until_rows(dead=count)
        return leads

    def repair(self, *leads: LeadReceived) -> None:
        for each in leads:
            del self.server.always[f"rcpt:{each.email}"]

    async def until_rows(self, **states: int) -> None:
        async def found() -> dict[str, int]:
            rows = await self.admin.db.fetch("SELECT state FROM replay_queue")
            return Counter(row["state"] for row in rows)

        await eventually(found, until=lambda now: now == states, seconds=40, what=f"rows {states}")

    async def replay(self, status: int = 202, /, *, params: Any = None, **order: Any) -> Any:
        answer = await self.admin.client.post("/admin/queue/replay", json=order, params=params)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def until_outcomes(self, replay_id: str, **outcomes: int) -> Any:
        def has_outcomes(detail: Any) -> bool:
            return {name: rows for name, rows in detail["outcomes"].items() if rows} == outcomes

        path = f"/admin/queue/replays/{replay_id}"
        return await eventually(
            lambda: self.admin.get(path), until=has_outcomes, seconds=40, what=str(outcomes)
        )

    def welcomes(self) -> Counter[str]:
        return Counter(mail.recipients[0] for mail in self.server.mails if mail.kind == "welcome")

    async def until_ledger_balances(self) -> None:
        async def ledger() -> Any:
            return (await self.admin.get("/admin/queue/stats"))["books"]

        await eventually(ledger, until=lambda ledger: ledger["balanced"], what="the ledger to balance")


@asynccontextmanager
async def running_pipeline(kafka: Kafka, postgres: Postgres) -> AsyncIterator[Pipeline]:
    async with smtp_server() as server:
        settings = {
            "kafka": kafka,
            "postgres": postgres,
            "smtp": {"host": server.host, "port": server.port, "tls": False},
            "from_email": "hello@fast.example",
            "admin_email": "boss@fast.example",
        }
        notifier = create_notifier(NotifierSettings.model_validate(settings))
        persister = create_persister(PersisterSettings(kafka=kafka, postgres=postgres))
        async with (
            notifier.router.lifespan_context(notifier),
            persister.router.lifespan_context(persister),
            flusher(kafka, postgres),
            running_admin(postgres, kafka) as admin,
        ):
            yield Pipeline(admin, server, kafka)


@pytest.fixture
async def pipeline(kafka: Kafka, postgres: Postgres) -> AsyncIterator[Pipeline]:
    async with running_pipeline(kafka, postgres) as running:
        yield running


async def test_dead_mail_replay_sends_once_and_audits_actor_and_reason(pipeline: Pipeline) -> None:
    (refused,) = await pipeline.let_welcomes_die(1)
    (group,) = (await pipeline.admin.get("/admin/queue/groups"))["groups"]
    assert (group["state"], group["kind"], group["rows"]) == ("dead", "welcome", 1)
    (item,) = (await pipeline.admin.get("/admin/queue/items", state="dead"))["items"]
    pipeline.repair(refused)
    path = f"/admin/queue/{item['id']}/replay"
    answer = await pipeline.admin.client.post(path, json={"comment": "they fixed their server"})
    assert answer.status_code == 202, answer.text
    await pipeline.until_rows(resolved=1)
    assert pipeline.welcomes() == {refused.email: 1}
    filters = {"lead_id": str(refused.lead_id), "event": "lead.replayed"}
    (replayed,) = (await pipeline.admin.get("/admin/audit", **filters))["entries"]
    assert replayed["actor"] == "ann"
    assert replayed["details_json"]["cause"] == "requested"
    assert replayed["details_json"]["comment"] == "they fixed their server"
    assert replayed["details_json"]["attempts"] == 0
    assert "the delivery succeeded" in (await pipeline.admin.request("POST", path, 409))["detail"]
    await pipeline.until_ledger_balances()


async def test_a_replay_that_fails_again_has_three_new_retries_or_is_dead_anew(pipeline: Pipeline) -> None:
    (refused,) = await pipeline.let_welcomes_die(1)
    (item,) = (await pipeline.admin.get("/admin/queue/items"))["items"]
    pipeline.server.always[f"rcpt:{refused.email}"] = "451 4.7.1 later"
    await pipeline.admin.request("POST", f"/admin/queue/{item['id']}/replay", 202)
    row: Any = await eventually(
        lambda: pipeline.admin.db.fetchrow("SELECT * FROM replay_queue"),
        until=lambda row: row["state"] == "waiting" and row["last_sent_at"],
        what="the second failure",
    )
    assert (row["attempts"], row["final"], row["requested_by"]) == (0, False, None)
    pipeline.server.always[f"rcpt:{refused.email}"] = REFUSED
    await pipeline.admin.request("POST", f"/admin/queue/{item['id']}/replay", 202)
    await pipeline.until_rows(dead=1)
    assert pipeline.welcomes() == {}


async def test_group_replay_has_preview_rate_limit_and_result_per_row(pipeline: Pipeline) -> None:
    leads = await pipeline.let_welcomes_die(5)
    order = {"state": "dead", "kind": "welcome", "per_second": 2, "comment": "repaired"}
    preview = await pipeline.replay(200, params={"dry_run": True}, **order)
    assert (preview["wanted"], preview["seconds"]) == (5, 3)
    pipeline.repair(*leads[1:])
    begun = (await pipeline.replay(params={"expected": 5}, **order))["replay"]
    detail = await pipeline.until_outcomes(begun["id"], resolved=4, failed=1)
    assert (detail["replay"]["state"], detail["replay"]["taken"]) == ("finished", 5)
    results = {result["lead_id"]: (result["result"], result["state"]) for result in detail["results"]}
    assert results.pop(str(leads[0].lead_id)) == ("failed", "dead")
    assert set(results.values()) == {("resolved", "resolved")}
    turns = Counter(result["turn_at"] for result in detail["results"])
    assert sorted(turns.values()) == [1, 2, 2]
    assert pipeline.welcomes() == {each.email: 1 for each in leads[1:]}
    entries = (await pipeline.admin.get("/admin/audit", event="lead.replayed"))["entries"]
    assert {(entry["actor"], entry["details_json"]["replay_id"]) for entry in entries} == {
        ("ann", begun["id"])
    }
    assert len(entries) == 5
    await pipeline.until_ledger_balances()


async def test_cancelled_replay_stops_sending_and_reports_the_rest(
    pipeline: Pipeline,
) -> None:
    leads = await pipeline.let_welcomes_die(6)
    pipeline.repair(*leads)
    before = {row["id"]: dict(row) for row in await pipeline.admin.db.fetch("SELECT * FROM replay_queue")}
    begun = (await pipeline.replay(state="dead", per_second=1))["replay"]
    path = f"/admin/queue/replays/{begun['id']}"
    await eventually(lambda: pipeline.admin.get(path), until=lambda detail: detail["replay"]["taken"] >= 2)
    answer = await pipeline.admin.request("DELETE", path)
    went = answer["replay"]["taken"]
    assert 2 <= went < 6
    assert answer["cancelled"] == 6 - went
    await pipeline.until_outcomes(begun["id"], resolved=went, cancelled=6 - went)
    # A row that is replayed by itself skips the poll at which a running replay would have sent it.
    left = (await pipeline.admin.get(path, result="cancelled"))["results"]
    await pipeline.admin.request("POST", f"/admin/queue/{left[0]['queue_id']}/replay", 202)
    await pipeline.until_rows(resolved=went + 1, dead=6 - went - 1)
    for result in left[1:]:
        row = await pipeline.admin.db.fetchrow(
            "SELECT * FROM replay_queue WHERE id::text = $1", result["queue_id"]
        )
        assert row is not None
        assert dict(row) == before[row["id"]]
    assert pipeline.welcomes().total() == went + 1
    assert set(pipeline.welcomes().values()) == {1}
    await pipeline.until_ledger_balances()
