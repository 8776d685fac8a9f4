"""The process is stopped and killed under load: no accepted lead is lost, and no email is sent twice."""

import asyncio
import signal
import subprocess
import sys
from collections import Counter
from typing import Any
from uuid import UUID

from deploy.embedded.servers.standalone import Mailbox
from tests.support.services.one_process import OneProcess
from tests.support.services.processes import ROOT
from tests.support.wait import eventually
from tests.support.web.plain_http import plain_client


async def accepted_after(accepted: set[str], count: int) -> None:
    """Wait until as many leads more are accepted."""
    goal = len(accepted) + count
    await eventually(lambda: asyncio.sleep(0, len(accepted)), until=lambda n: n >= goal, seconds=60)


async def test_no_lead_is_lost_and_no_email_sent_twice(
    services: OneProcess, mailbox: Mailbox, db: Any
) -> None:
    accepted, ending = set[str](), asyncio.Event()

    async def post_leads() -> None:
        while not ending.is_set():
            accepted.add(await services.post())

    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(post_leads())
        await accepted_after(accepted, 50)
        assert await services.stop() == -signal.SIGTERM
        services.start()
        await accepted_after(accepted, 50)
        services.kill()
        services.start()
        await accepted_after(accepted, 20)
        ending.set()

    async def open_work() -> list[int]:
        row = await db.fetchrow(
            "SELECT (SELECT count(*) FROM lead_inbox) AS leads,"
            " (SELECT count(*) FROM email_delivery WHERE state IN ('sent', 'unknown')) AS emails"
        )
        return [row["leads"], row["emails"]]

    # A killed member's partitions are assigned again after its session of 10 s.
    done = [len(accepted), 2 * len(accepted)]
    await eventually(
        open_work, until=lambda found: found == done, seconds=120, what=f"{done} leads and emails"
    )
    stored = await db.fetch("SELECT id FROM lead_inbox")
    assert {row["id"] for row in stored} == {UUID(each) for each in accepted}
    async with plain_client() as client:
        mails = Counter(m["message_id"] for m in (await client.get(f"{mailbox.url}/api/messages")).json())
    repeated = [message_id for message_id, count in mails.items() if count > 1]
    assert not [each for each in repeated if ".welcome@" in each]
    ledger = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "deploy.cli.ledger"],
        cwd=ROOT,
        env=services.environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ledger.returncode == 0, ledger.stdout + ledger.stderr
