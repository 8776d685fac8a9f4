"""The state of the sealed audit log in a real browser: it comes from the database."""

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import expect

from runtime.settings import Postgres
from tests.e2e.conftest import Dashboard
from tests.support.sealed_log import seal
from tests.support.web.browser import SIZES, Size

pytestmark = pytest.mark.asyncio(loop_scope="session")

RECORD = (
    "INSERT INTO scheduled_job (name, schedule, runs, last_started_at, last_finished_at, last_outcome,"
    " last_details) VALUES ($1, '', 1, now(), now(), $2, jsonb_build_object('reason', $3::text))"
    " ON CONFLICT (name) DO UPDATE SET last_outcome = excluded.last_outcome,"
    " last_details = excluded.last_details"
)


@pytest.fixture
async def sealed(dashboard: Dashboard) -> AsyncIterator[Dashboard]:
    """The dashboard of a log that is sealed. The flusher of this installation has no key."""
    installation = dashboard.watched.installation
    await seal(Postgres.model_validate({"url": installation.database.service}))
    yield dashboard
    await installation.fetch("DELETE FROM scheduled_job WHERE name IN ('audit_seal', 'audit_check')")


@pytest.mark.parametrize("size", SIZES)
async def test_the_audit_page_says_until_when_the_log_is_sealed(sealed: Dashboard, size: Size) -> None:
    fetch = sealed.watched.installation.fetch
    [row] = await fetch("SELECT max(size) AS size FROM audit_checkpoint")
    async with sealed.visit(size) as visitor:
        await visitor.open("/admin/ui/audit")
        line = visitor.page.locator(".head .sub", has_text="Sealed until")
        await expect(line).to_contain_text(f"{row['size']:,} entries")
        await expect(line).to_contain_text("Not verified yet")
        failure = visitor.page.locator("#seal-failure")
        await expect(failure).to_be_hidden()
        await fetch(RECORD, "audit_check", "succeeded", None)
        await visitor.open("/admin/ui/audit")
        await expect(line).to_contain_text("Verified")
        await visitor.check_in_both_themes()

        await fetch(
            RECORD, "audit_check", "failed", "the audit log differs from its seal: the entry 7 is missing"
        )
        await fetch(RECORD, "audit_seal", "failed", "fork: 9 entries were signed, and the database has 7")
        await visitor.open("/admin/ui/audit")
        await expect(line).to_contain_text("Verification failed")
        await expect(failure).to_contain_text("the entry 7 is missing")
        await expect(failure).to_contain_text("fork: 9 entries were signed")
        await expect(failure.get_by_role("link", name="Scheduled tasks")).to_be_visible()
        await visitor.check_in_both_themes()

        await fetch(RECORD, "audit_check", "succeeded", None)
        await fetch(RECORD, "audit_seal", "succeeded", None)
        await visitor.open("/admin/ui/audit")
        await expect(failure).to_be_hidden()
