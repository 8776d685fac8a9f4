"""The emails of the last hour and day: counted by site, kind and outcome, with what servers say."""

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from prometheus_client import REGISTRY

from runtime.database.postgres import open_pool
from runtime.settings import Postgres
from services.admin.monitoring.mail_outcomes import DAY, count_mail_outcomes
from services.admin.monitoring.metrics_poller import update_emails
from services.admin.rules.mail_rates import MailCounts, MailRates
from tests.support.services.admin import Admin
from tests.support.services.dashboard import running_dashboard, sign_in
from tests.support.stack import Stack

REFUSED = "550 5.7.1 sender not allowed"


@pytest.fixture
async def dashboard(postgres: Postgres, stack: Stack) -> AsyncIterator[Admin]:
    async with running_dashboard(postgres, stack) as running:
        yield running


async def add_emails(
    db: Any, count: int, kind: str, state: str, *, site: str = "shop", failure: str | None = None
) -> list[UUID]:
    """Insert emails and give them their outcome, as the notifier does."""
    ids = [uuid4() for _ in range(count)]
    await db.execute(
        "INSERT INTO email_delivery (lead_id, kind, state, lease_until, message_id, site, recipient)"
        " SELECT id, $2, 'reserved', now(), 'm', $3, 'someone@example.com' FROM unnest($1::uuid[]) AS id",
        ids,
        kind,
        site,
    )
    await set_state(db, ids, kind, state, failure)
    return ids


async def set_state(db: Any, ids: list[UUID], kind: str, state: str, failure: str | None = None) -> None:
    await db.execute(
        "UPDATE email_delivery SET state = $3, failure_group = $4, reason = $4"
        " WHERE lead_id = ANY($1) AND kind = $2",
        ids,
        kind,
        state,
        failure,
    )


async def count(postgres: Postgres, period: timedelta | None = None) -> MailRates:
    async with open_pool(postgres, "test") as pool:
        return await (count_mail_outcomes(pool, period) if period else count_mail_outcomes(pool))


async def test_each_email_counts_once_with_its_last_outcome(admin: Admin, postgres: Postgres) -> None:
    alerts = await add_emails(admin.db, 3, "admin_alert", "waiting", failure="451 later")
    await set_state(admin.db, alerts[:1], "admin_alert", "sent")
    await set_state(admin.db, alerts[1:2], "admin_alert", "dead", REFUSED)
    await add_emails(admin.db, 4, "welcome", "sent")
    await add_emails(admin.db, 2, "welcome", "sent", site="blog")
    await add_emails(admin.db, 9, "welcome", "suppressed")
    assert await count(postgres) == MailRates((
        MailCounts("blog", "welcome", {"sent": 2}, ("sent",) * 2),
        MailCounts(
            "shop", "admin_alert", {"sent": 1, "dead": 1, "waiting": 1}, ("dead", "sent", "waiting"),
            (("451 later", 1), (REFUSED, 1)),
        ),
        MailCounts("shop", "welcome", {"sent": 4}, ("sent",) * 4),
    ))  # fmt: skip


async def test_older_outcomes_and_erasures_do_not_count(admin: Admin, postgres: Postgres) -> None:
    old = await add_emails(admin.db, 6, "admin_alert", "dead", failure=REFUSED)
    await admin.db.execute("UPDATE email_delivery SET outcome_at = now() - interval '2 hours'")
    # An erasure changes the row, but not the outcome.
    await admin.db.execute("UPDATE email_delivery SET recipient = NULL, updated_at = now()")
    assert await count(postgres) == MailRates()
    assert (await count(postgres, DAY)).failed == len(old)


async def text_of(admin: Admin, path: str) -> str:
    answer = await admin.client.get(path)
    assert answer.status_code == 200, answer.text
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.text))


async def test_regression_the_overview_names_refused_emails_until_they_arrive(dashboard: Admin) -> None:
    await sign_in(dashboard)
    alerts = await add_emails(dashboard.db, 80, "admin_alert", "dead", failure=REFUSED)
    welcomes = await add_emails(dashboard.db, 80, "welcome", "dead", failure=REFUSED)
    shown = await text_of(dashboard, "/admin/ui/overview/parts")
    assert "Service disruption" in shown
    assert (
        f"160 of 160 emails were refused in the last hour: {REFUSED}."
        " The team&#39;s notifications are among them." in shown
    )
    panel = await text_of(dashboard, "/admin/ui/overview/emails")
    assert "What the mail servers say" in panel
    assert f"{REFUSED} 160 emails" in panel
    assert "100 %" in panel or "100%" in panel
    dashboard.app.state.cache.invalidate("emails")
    for ids, kind in ((alerts, "admin_alert"), (welcomes, "welcome")):
        await set_state(dashboard.db, ids[:5], kind, "sent")
    assert "refused" not in await text_of(dashboard, "/admin/ui/overview/parts")
    assert "What the mail servers say" not in await text_of(dashboard, "/admin/ui/overview/emails")


async def test_one_site_s_refusals_are_not_another_s(dashboard: Admin) -> None:
    await sign_in(dashboard)
    await add_emails(dashboard.db, 9, "admin_alert", "dead", site="blog", failure=REFUSED)
    await add_emails(dashboard.db, 9, "admin_alert", "sent")
    shown = await text_of(dashboard, "/admin/ui/overview/parts")
    assert f"blog: 9 of 9 emails were refused in the last hour: {REFUSED}." in shown
    assert "shop:" not in shown


async def test_the_metrics_have_the_rates_and_quote_what_fails_now(admin: Admin, postgres: Postgres) -> None:
    ids = await add_emails(admin.db, 9, "admin_alert", "dead", site="blog", failure=REFUSED)
    labels = {"site": "blog", "kind": "admin_alert"}
    async with open_pool(postgres, "test") as pool:
        await update_emails(pool)
        assert REGISTRY.get_sample_value("fastcore_mails_last_hour", labels | {"outcome": "dead"}) == 9
        assert REGISTRY.get_sample_value("fastcore_mails_failing", labels | {"reply": REFUSED}) == 9
        await set_state(admin.db, ids[:5], "admin_alert", "sent")
        await update_emails(pool)
        assert REGISTRY.get_sample_value("fastcore_mails_failing", labels | {"reply": REFUSED}) is None
        assert REGISTRY.get_sample_value("fastcore_mails_last_hour", labels | {"outcome": "sent"}) == 5
