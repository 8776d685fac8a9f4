"""The commands of `python -m deploy.cli.audit`, the routes and the daily job, on a real database."""

import asyncio
import re
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from typer.testing import CliRunner, Result

from deploy.cli.audit.__main__ import app
from runtime.database.postgres import open_pool
from runtime.settings import Postgres
from runtime.transparency_log.signed_note import SigningKey, VerificationKey
from services.flusher.jobs.audit_check import audit_check_job
from services.flusher.jobs.job_runs import JobRuns
from services.flusher.retries.retry_scheduler import utc_now
from tests.support.sealed_log import KEY, PUBLIC_KEY, add_entries, document_verifier, seal
from tests.support.services.admin import Admin
from tests.support.services.dashboard import running_dashboard, sign_in
from tests.support.stack import Database, Stack


@pytest.fixture(autouse=True)
def _database_url(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", database.service)


async def run(*arguments: object) -> Result:
    """Run the command in a thread, because it has an event loop of its own."""
    return await asyncio.to_thread(CliRunner().invoke, app, [str(each) for each in arguments])


async def test_a_lead_s_history_is_proved_and_verified(postgres: Postgres, db: Any, tmp_path: Path) -> None:
    lead, file = uuid4(), tmp_path / "lead.jsonl"
    for _ in range(3):
        await add_entries(db, 150)
        await add_entries(db, 2, lead)
    await seal(postgres)
    await add_entries(db, 1, lead)  # not sealed yet
    assert (await run("prove", lead, "--out", file)).exit_code == 0
    assert file.read_text(encoding="utf-8").count("\n") == 1 + 6
    verified = await run("verify", file, "--key", PUBLIC_KEY)
    assert (verified.exit_code, verified.output.split(":")[0]) == (0, "6 entries")
    assert "6 entries are in the log of 456" in document_verifier()(file, str(PUBLIC_KEY))
    file.write_text(file.read_text(encoding="utf-8").replace("persister", "somebody"), encoding="utf-8")
    assert (await run("verify", file, "--key", PUBLIC_KEY)).exit_code == 1


async def test_an_export_and_the_database_are_verified(postgres: Postgres, db: Any, tmp_path: Path) -> None:
    file, known = tmp_path / "log.jsonl", tmp_path / "checkpoint"
    assert (await run("export")).exit_code == 1  # not sealed
    await add_entries(db, 5)
    await seal(postgres, file=known)
    await add_entries(db, 5)
    await seal(postgres)
    assert (await run("export", "--out", file)).exit_code == 0
    for arguments in (("verify", file), ("verify",)):
        result = await run(*arguments, "--key", PUBLIC_KEY, "--known", known)
        assert (result.exit_code, result.output[:10]) == (0, "10 entries")
        assert (await run(*arguments, "--key", SigningKey.generate("x").verification_key())).exit_code == 1
    await db.execute("ALTER TABLE audit_log DISABLE TRIGGER USER")
    await db.execute("UPDATE audit_log SET actor = 'somebody' WHERE id = 3")
    result = await run("verify", "--key", PUBLIC_KEY)
    assert (result.exit_code, result.output.splitlines()[0]) == (1, "the entry 3 was changed")


async def test_a_key_is_written_for_its_owner_only_and_never_replaced(tmp_path: Path) -> None:
    file = tmp_path / "key"
    result = await run("key", "audit.example.com", file)
    made = SigningKey.parse(file.read_text(encoding="utf-8").strip())
    assert VerificationKey.parse(result.output.strip()) == made.verification_key()
    assert file.stat().st_mode & 0o777 == 0o600
    assert (await run("key", "audit.example.com", file)).exit_code == 1
    assert (await run("key", "two words", tmp_path / "other")).exit_code == 1


async def test_the_daily_job_reports_what_differs(postgres: Postgres, db: Any) -> None:
    await add_entries(db, 5)
    await seal(postgres)
    async with open_pool(postgres, "test") as pool:
        job = audit_check_job(pool, JobRuns(pool, utc_now), utc_now, [PUBLIC_KEY])
        await job.tick()
        row = "SELECT last_outcome, last_details FROM scheduled_job WHERE name = 'audit_check'"
        found = await db.fetchrow(row)
        assert (found["last_outcome"], found["last_details"]["entries"]) == ("succeeded", 5)
        await db.execute("ALTER TABLE audit_log DISABLE TRIGGER USER")
        await db.execute("DELETE FROM audit_log WHERE id = 2")
        await db.execute("UPDATE scheduled_job SET requested_at = now()")
        await job.tick()
        found = await db.fetchrow(row)
    assert found["last_outcome"] == "failed"
    assert found["last_details"]["reason"] == "the audit log differs from its seal: the entry 2 is missing"


async def test_the_checkpoint_is_served(admin: Admin, postgres: Postgres, db: Any) -> None:
    assert (await admin.client.get("/admin/audit/checkpoint")).status_code == 404
    await add_entries(db, 1)
    await seal(postgres)
    response = await admin.client.get("/admin/audit/checkpoint")
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert response.text == await db.fetchval("SELECT note FROM audit_checkpoint")
    assert response.text.startswith(f"{KEY.name}\n1\n")


async def test_the_page_says_until_when_the_log_is_sealed(postgres: Postgres, stack: Stack, db: Any) -> None:
    async with running_dashboard(postgres, stack) as admin:
        await sign_in(admin)

        async def line() -> str:
            page = await admin.client.get("/admin/ui/audit")
            return " ".join(
                re.sub(r"<[^>]*>", "", page.text.partition("</h1>")[2].partition("<form")[0]).split()
            )

        assert "Sealed" not in await line()
        await add_entries(db, 1234)
        await seal(postgres)
        assert re.search(r"Sealed until .+, 1,234 entries · Not verified yet$", await line())
        async with open_pool(postgres, "test") as pool:
            await audit_check_job(pool, JobRuns(pool, utc_now), utc_now, [PUBLIC_KEY]).tick()
        assert re.search(r"1,234 entries · Verified ", await line())
        await db.execute("UPDATE scheduled_job SET last_outcome = 'failed' WHERE name = 'audit_check'")
        assert "Verification failed" in await line()
