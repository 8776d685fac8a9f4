"""Every text of every page is in a catalogue; texts and numbers are those of the viewer's language."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from contracts.leads import LeadStatus
from runtime.settings import Postgres, SitesFile
from services.admin import texts
from services.admin.dashboard import rendering
from services.admin.rules.bulk_rules import refusal
from services.admin.store.bulk.bulk_worker import NOT_STORED
from tests.support.services.admin import Admin, queued_row
from tests.support.services.dashboard import HTMX, running_dashboard, sign_in
from tests.support.services.webhooks import destination, write_sites
from tests.support.stack import Stack
from tests.support.web.texts import BRACKETED, CLOSE, OPEN, texts_outside_of_brackets

LEADS, QUEUE, BULK = "/admin/ui/leads", "/admin/ui/workbench", "/admin/ui/bulk"
ADA = {"name": "Ada", "email": "ada@example.com", "phone": "+49 30 1234567", "service": "Hosting"}
PAGES = (
    *("/admin", "/admin/canary"),
    "/admin?full=true&range=7",
    "/admin?full=true&range=12m",
    "/admin/status",
    "/admin/status?full=true",
    LEADS,
    f"{LEADS}?status=spam&waiting=4&received=today&assignee=@me&source=x&site=shop",
    f"{LEADS}?service=nothing",
    f"{LEADS}?cursor=nothing",
    f"{LEADS}?waiting=0&site=" + "x" * 256,
    f"{BULK}/{{bulk}}",
    f"{LEADS}/{{lead}}",
    f"{LEADS}/{{spam}}",
    f"{LEADS}/{{held}}",
    f"{LEADS}/{{erased}}",
    f"{LEADS}/{{queued}}",
    f"{LEADS}/{{lead}}/edit",
    f"{LEADS}/{{lead}}/erase",
    f"{LEADS}/{{lead}}/notes/{{note}}",
    f"{LEADS}/x",
    f"{LEADS}/00000000-0000-0000-0000-000000000000",
    "/admin/ui/held",
    "/admin/ui/views",
    "/admin/ui/views/bar",
    QUEUE,
    f"{QUEUE}?state=archived",
    f"{QUEUE}/items",
    *(f"{QUEUE}/deliveries?destination={name}" for name in ("crm", "chat")),
    f"{BULK}/send?destination=crm",
    f"{BULK}/duration?per_second=20&leads=1000",
    *(f"{QUEUE}/{page}?{query}" for page in ("replay", "archive") for query in ("state=dead", "reason=no")),
    f"{QUEUE}/replay/duration?per_second=20&wanted=1000",
    f"{QUEUE}/replays/{{replay}}",
    "/admin/ui/destinations",
    "/admin/ui/destinations/crm/disable",
    "/admin/ui/destinations/nothing/disable",
    *(f"/admin/ui/{name}" for name in ("emails", "jobs", "audit")),
    "/admin/ui/audit?actor=nobody",
    "/admin/ui/status/count",
    *("/admin/ui/nothing", "/admin/runbooks/SpoolFilling"),
)
FORMS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("/admin/ui/palette", {"q": "Ada"}),
    *(("/admin/ui/suppressions", {"email": each}) for each in ("x", "ada@example.com")),
    (f"{LEADS}/export", {}),
    (f"{LEADS}/{{lead}}/notes", {"text": "Called."}),
    (f"{LEADS}/{{lead}}/notes", {"text": ""}),
    (f"{LEADS}/{{lead}}/notes/{{note}}", {"text": "", "expected_updated_at": "2026-01-01T00:00:00Z"}),
    (f"{LEADS}/{{lead}}/edit", {"email": "no"}),
    (f"{LEADS}/{{lead}}/edit", {"assignee": "bob"}),
    (f"{LEADS}/{{lead}}/status", {"status": "contacted", "expected": "received"}),
    (f"{LEADS}/{{lead}}/status", {"status": "won", "expected": "received"}),
    (f"{LEADS}/{{spam}}/status", {"status": "received", "expected": "spam"}),
    (f"{LEADS}/{{held}}/status", {"status": "received", "expected": "held"}),
    (f"{LEADS}/{{lead}}/emails/welcome/resend", {}),
    ("/admin/ui/held", {"site": "shop", "until": "2100-01-01T00:00:00Z", "new_status": "received"}),
    (
        "/admin/ui/held",
        {"site": "shop", "until": "2100-01-01T00:00:00Z", "new_status": "spam", "confirmed": "true"},
    ),
    ("/admin/ui/views/new", {"status": "won"}),
    ("/admin/ui/views", {"status": "won", "name": "Won"}),
    ("/admin/ui/views", {"status": "won", "name": ""}),
    ("/admin/ui/destinations/crm/test", {}),
    ("/admin/ui/destinations/crm/disable", {}),
    ("/admin/ui/destinations/crm/enable", {}),
    (f"{LEADS}/{{lead}}/deliveries/{{arrived}}/crm/resend", {}),
    (f"{LEADS}/{{lead}}/deliveries/{{arrived}}/crm/resend", {"confirmed": "true"}),
    (f"{LEADS}/{{erased}}/deliveries/{{informed}}/crm/resend", {"confirmed": "true"}),
    (f"{QUEUE}/items/{{row}}/replay", {}),
    (f"{QUEUE}/items/{{lead}}/replay", {}),
    (f"{QUEUE}/items/{{lead}}/archive", {}),
    (f"{QUEUE}/archive", {"reason": "nothing"}),
    (f"{QUEUE}/clear", {}),
    (f"{QUEUE}/flush", {}),
    ("/admin/ui/stages/resume", {"stage": "notifier"}),
    ("/admin/ui/stages/resume", {"stage": "nothing"}),
    ("/admin/ui/incidents/{incident}/acknowledge", {}),
    ("/admin/ui/incidents/{incident}/resolve", {}),
    (f"{QUEUE}/replays/{{replay}}/cancel", {}),
    (f"{QUEUE}/replays/{{finished}}/cancel", {}),
    (f"{BULK}/{{bulk}}/cancel", {}),
    (BULK, {"action": "status", "new_status": "won", "ids": "{lead}"}),
    (BULK, {"action": "assign", "new_assignee": "bob", "ids": "{erased}"}),
    (BULK, {"action": "status", "new_status": "won", "ids": "{held}", "expected": "1"}),
    (BULK, {"action": "send", "destination": "crm", "matching": "true"}),
    (BULK, {"action": "send", "destination": "crm", "ids": "{held}"}),
    (BULK, {"action": "retry", "destination": "crm"}),
    (BULK, {"action": "send", "destination": "crm", "ids": "{lead}", "expected": "1"}),
    (BULK, {"action": "erase", "ids": "{lead}", "expected": "1", "typed": "2"}),
    (f"{LEADS}/{{lead}}/erase", {"address": "bob@example.com"}),
    (f"{LEADS}/{{lead}}/erase", {"address": "ada@example.com"}),
    ("/admin/login", {"token": "wrong"}),
)


@pytest.fixture
async def admin(postgres: Postgres, stack: Stack, tmp_path: Path) -> AsyncIterator[Admin]:
    names = ("crm", "chat", "gone", "paused", "off", "testing")
    file = write_sites(tmp_path, *(destination(name, "https://crm.example/hook") for name in names))
    async with running_dashboard(postgres, stack, sites_file=SitesFile(path=file)) as running:
        yield running


@pytest.fixture
def rendered(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Let every viewer get texts in brackets; return the names of the templates that are rendered."""
    names = set[str]()
    environment = rendering._TEMPLATES
    get_template = environment.get_template

    def get(name: str, *args: Any) -> Any:
        names.add(name)
        return get_template(name, *args)

    monkeypatch.setattr(environment, "get_template", get)
    monkeypatch.setattr(texts, "find_viewer", lambda _: BRACKETED)
    return names


async def add_everything(admin: Admin) -> dict[str, UUID]:
    """Store something for each part of each page; return the ids."""
    leads = {
        "lead": await admin.add_lead(**ADA),
        "spam": await admin.add_lead("spam", spam_reasons=("honeypot",), **ADA),
        "held": await admin.add_lead("held", spam_reasons=("rate_ip",), site="shop"),
        "erased": await admin.add_lead("erased"),
    }
    ids = {name: lead.lead_id for name, lead in leads.items()}
    for kind, state in (("welcome", "dead"), ("admin_alert", "sent")):
        await admin.add_email(ids["lead"], kind, state)
    ids["row"] = await admin.add_queue_row(lead_id=ids["lead"], reason="smtp 452 4.2.2 at rcpt")
    await admin.add_queue_row(lead_id=uuid4(), state="dead", next_attempt_at=None, payload=None)
    await admin.add_queue_row(lead_id=uuid4(), state="dead", next_attempt_at=None)
    ids["queued"] = uuid4()
    queued = leads["lead"].model_copy(update={"lead_id": ids["queued"]})
    await admin.add_queue_row(**queued_row(queued, reason="database 22021"))
    ids["note"] = await admin.db.fetchval(
        "INSERT INTO lead_note (id, lead_id, author, body, updated_at)"
        " VALUES (gen_random_uuid(), $1, 'ann', 'Hello', now() + interval '1 minute') RETURNING id",
        ids["lead"],
    )
    for resolver in (None, "fastcore", "bob"):
        ids["incident"] = await admin.db.fetchval(
            "INSERT INTO incident (key, component, reason, severity, affected_leads, owner, resolved_at,"
            " resolved_by)"
            " VALUES (gen_random_uuid()::text, 'Email', 'failed', 'bad', 3, 'bob',"
            " CASE WHEN $1::text IS NOT NULL THEN now() END, $1) RETURNING id",
            resolver,
        )
    ids["replay"] = await admin.db.fetchval(
        "INSERT INTO queue_replay (id, requested_by, wanted, per_second, filter, comment)"
        " VALUES (gen_random_uuid(), 'ann', 5, 5, '{}', 'again') RETURNING id"
    )
    ids["finished"] = await admin.db.fetchval(
        "INSERT INTO queue_replay (id, requested_by, wanted, taken, per_second, filter, finished_at)"
        " VALUES (gen_random_uuid(), 'ann', 5, 5, 5, '{}', now()) RETURNING id"
    )
    ids["bulk"] = await admin.db.fetchval(
        "INSERT INTO bulk_change (id, actor, action, value, total, next_position, finished_at)"
        " VALUES (gen_random_uuid(), 'ann', 'status', 'won', 2, 3, now()) RETURNING id"
    )
    # The worker stores the reasons in English.
    reasons = (NOT_STORED[1], refusal("status", "won", LeadStatus.SPAM))
    await admin.db.executemany(
        "INSERT INTO bulk_change_item VALUES ($1, $2, $3, 'refused', $4)",
        [(ids["bulk"], place, ids["spam"], reason) for place, reason in enumerate(reasons, 1)],
    )
    await admin.db.execute(
        "INSERT INTO retry_schedule (stage, work, waits_seconds, jitter, cron) VALUES"
        " ('persister', 'records', '{0,900}', 0.2, '*/5 * * * *'),"
        " ('webhooks', 'deliveries', '{5,300}', 0.2, NULL)"
    )
    await admin.db.execute(
        "INSERT INTO scheduled_job (name, schedule, last_finished_at, last_outcome, last_details)"
        " VALUES ('replay_queue', '*/5 * * * *', now(), 'failed', '{}'),"
        " ('site_queue', '7 3 * * *', now(), 'succeeded', $1)",
        json.dumps({"sites": {"shop": {"depth": 3, "pulled": 2, "damaged": 1, "reason": "no answer"}}}),
    )
    return ids


async def add_deliveries(admin: Admin, ids: dict[str, UUID]) -> dict[str, UUID]:
    """Store destinations and deliveries in each state; return the ids of two events."""
    await admin.db.execute(
        "INSERT INTO webhook_destination (name, paused_until, paused_since, disabled_at, disabled_reason,"
        " last_reason, last_failure_at, last_test_id) VALUES"
        " ('paused', now(), now(), NULL, NULL, 'destination answered 500', now(), NULL),"
        " ('off', NULL, NULL, now(), 'disabled by ann', NULL, NULL, NULL),"
        " ('gone', NULL, NULL, now(), 'destination answered 410', NULL, NULL, NULL),"
        " ('chat', NULL, NULL, NULL, NULL, NULL, NULL, $1),"
        " ('old', NULL, NULL, NULL, NULL, NULL, NULL, NULL)",
        await admin.add_delivery(
            "chat", "failed", event="lead.test", attempts=1, status_code=500, response="no",
            reason="destination answered 500",
        ),
    )  # fmt: skip
    await admin.db.execute(
        "INSERT INTO webhook_destination (name, last_test_id) VALUES ('testing', $1)",
        await admin.add_delivery("testing", "pending", event="lead.test"),
    )
    for url, owner in (("#destination-paused", None), ("#destination-gone", "bob")):
        await admin.db.execute(
            "INSERT INTO incident (key, component, reason, severity, url, owner, first_seen_at)"
            " VALUES ($1, 'Destinations', 'paused', 'bad', $1, $2, now() - interval '1 hour')",
            f"/admin/ui/destinations{url}",
            owner,
        )
    now, lead = datetime.now(UTC), ids["lead"]
    for event, state in (("lead.updated", "dead"), ("lead.status_changed", "failed")):
        await admin.add_delivery(
            "crm", state, lead, event=event, attempts=2, status_code=422, duration_ms=40,
            reason="destination answered 422",
        )  # fmt: skip
    for name, state in (("crm", "delivered"), ("chat", "pending"), ("off", "dead")):
        ids["informed"] = await admin.add_delivery(
            name, state, ids["erased"], event="lead.erased", attempts=1
        )
    ids["arrived"] = await admin.add_delivery(
        "crm", "delivered", lead, attempts=1, status_code=200, duration_ms=7, delivered_at=now
    )
    return ids


async def test_every_text_of_every_page_is_translated(admin: Admin, rendered: set[str]) -> None:
    login = (await admin.client.get("/admin/login")).text
    csrf, ids = await sign_in(admin), await add_deliveries(admin, await add_everything(admin))
    pages = {"/admin/login": login}
    for path in PAGES:
        for headers in ({}, HTMX):
            response = await admin.client.get(path.format(**ids), headers=headers)
            pages[f"GET {path} {headers}"] = response.text
    cross_site = {"Sec-Fetch-Site": "cross-site", "Cookie": ""}
    pages["a linked lead"] = (await admin.client.get(f"{LEADS}/x", headers=cross_site)).text
    list_form = HTMX | {"HX-Trigger": rendering.LIST_FORM}
    form = {"csrf": csrf, "status": "nothing"}
    pages["an invalid search"] = (await admin.client.post(LEADS, data=form, headers=list_form)).text
    for path, fields in FORMS:
        form = {name: str(value).format(**ids) for name, value in fields.items()}
        for headers in (HTMX, {}):
            response = await admin.client.post(
                path.format(**ids), data={"csrf": csrf} | form, headers=headers, follow_redirects=True
            )
            pages[f"POST {path} {fields} {headers}"] = response.text
    found = {text: page for page, html in pages.items() for text in texts_outside_of_brackets(html)}
    assert found == {}, "\n".join(f"{text!r} on {page}" for text, page in found.items())
    assert set(rendering._TEMPLATES.list_templates()) - rendered == set()


@pytest.mark.usefixtures("rendered")
async def test_a_person_types_the_words_that_the_filter_shows(admin: Admin) -> None:
    csrf = await sign_in(admin)
    for typed, shown in ((f"{OPEN}ME{CLOSE}", "%40me"), (f"{OPEN}Unassigned{CLOSE}", "%40nobody")):
        page = await admin.client.post(LEADS, data={"csrf": csrf, "assignee": typed}, headers=HTMX)
        assert f"assignee={shown}" in page.text


async def test_numbers_and_dates_have_the_format_of_the_viewer(admin: Admin) -> None:
    await sign_in(admin)
    await admin.db.execute(
        "INSERT INTO scheduled_job (name, schedule, runs, last_duration_ms)"
        " VALUES ('retention', '7 15 * * *', 1234, 2500)"
    )
    for language, shown in (
        ("de, en;q=0.5", ("1.234", "2,5 s", "15:07 UTC")),
        ("en-US", ("1,234", "2.5 s", "3:07\u202fPM UTC")),
        ("x, *", ("1,234", "2.5 s", "15:07 UTC")),
    ):
        page = await admin.client.get("/admin/ui/jobs", headers={"Accept-Language": language})
        assert page.headers["vary"] == "Accept-Language"
        assert "Every day at" in page.text, "English is the only language that is shipped"
        assert [text for text in shown if text not in page.text] == []
    chart = await admin.client.get("/admin?full=true&range=12m", headers={"Accept-Language": "fr"})
    assert "janv." in chart.text
