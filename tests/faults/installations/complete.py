"""An installation with all that is optional: a website with a queue of its own, and a sealed audit log."""

import asyncio
import contextlib
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, cast
from uuid import NAMESPACE_URL, uuid5

from runtime.transparency_log.signed_note import SigningKey
from tests.faults.environment import SITE_TOKEN, Environment
from tests.faults.injections.poison_records import Poison
from tests.faults.violations import Violation
from tests.support.services.processes import ROOT
from tests.support.web.websites import FakeSites, fake_sites

LOG_NAME: Final = "faults.example"
VERIFY_SECONDS: Final = 60.0


class CompleteEnvironment(Environment):
    """The installation."""

    key: SigningKey
    web: FakeSites
    queued: int
    website: contextlib.AsyncExitStack

    @classmethod
    async def build_complete(cls, folder: Path) -> "CompleteEnvironment":
        """Return the installation in this folder. Only the website is started."""
        environment = cast("CompleteEnvironment", await cls.build(folder))
        environment.key, environment.queued = SigningKey.generate(LOG_NAME), 0
        environment.website = contextlib.AsyncExitStack()
        environment.web = await environment.website.enter_async_context(fake_sites())
        environment.web.queue_token = "token-of-the-queue-in-the-fault-suite"
        environment.checkpoint_file.parent.mkdir(exist_ok=True)
        environment.services["flusher"].environment |= {
            "FASTCORE_AUDIT_SIGNING_KEY": environment.key.text(),
            "FASTCORE_AUDIT_CHECKPOINT_FILE": str(environment.checkpoint_file),
            "FASTCORE_SITE_QUEUE_URL": f"{environment.web.url}/api/contact/queue",
            "FASTCORE_SITE_QUEUE_TOKEN": environment.web.queue_token,
            "FASTCORE_SITE_INGEST_TOKEN": SITE_TOKEN,
            "FASTCORE_FLUSHER_GATEWAY_URL": environment.services["ingest"].url,
        }
        return environment

    @property
    def checkpoint_file(self) -> Path:
        """The file to which the flusher writes the newest checkpoint, in a folder of its own."""
        return self.folder / "audit" / "checkpoint"

    def queue_on_website(self, count: int) -> None:
        """Let the website have so many leads more in its queue, of which some are invalid."""
        for _ in range(count):
            self.queued += 1
            key = f"queued-{self.queued}"
            body = {"name": "Queued", "email": f"{key}@mail.example", "message": f"Queued as {key}"}
            if self.queued % 5 == 0:  # the gateway refuses it, and the replay queue gets its bytes
                body = {"name": "Invalid"}
                text = json.dumps(body, separators=(",", ":")).encode()
                self.poison.unstorable[_lead_id(key)] = Poison(key.encode(), text)
            else:
                self.poison.odd.add(_lead_id(key))
            self.web.entries.append(
                {"id": key, "idempotencyKey": key, "queuedAt": datetime.now(UTC).isoformat(), "body": body}
            )

    async def start_job(self, name: str) -> None:
        """Have a job run now, as an admin does."""
        await self.sql("UPDATE scheduled_job SET requested_at = now() WHERE name = $1", name)

    async def count_more_pending(self) -> dict[str, Any]:
        pending = {"website": len(self.web.entries)}
        if pending["website"]:
            await self.start_job("site_queue")
        (row,) = await self.sql(
            "SELECT (SELECT count(*) FROM audit_log) - coalesce((SELECT size FROM audit_checkpoint"
            " ORDER BY number DESC LIMIT 1), 0) AS unsealed"
        )
        if row["unsealed"]:
            await self.start_job("audit_seal")
        return pending | {"unsealed": row["unsealed"]}

    async def find_more_violations(self) -> list[Violation]:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "deploy.cli.audit", "verify"),
            *("--key", str(self.key.verification_key()), "--known", str(self.checkpoint_file)),
            cwd=ROOT,
            env={**self.services["flusher"].environment, "DATABASE_URL": self.postgres.urls.superuser},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        async with asyncio.timeout(VERIFY_SECONDS):
            output, _ = await process.communicate()
        if process.returncode == 0:
            return []
        return [Violation("audit seal", output.decode(errors="replace")[-500:])]

    async def stop(self, *, keep: bool) -> None:
        try:
            await super().stop(keep=keep)
        finally:
            await self.website.aclose()


def _lead_id(key: str) -> str:
    """Return the documented id, without the code of the services."""
    return str(uuid5(uuid5(NAMESPACE_URL, "urn:fastcore:lead"), f"default\n{key}"))


def complete(environment: Environment) -> CompleteEnvironment:
    """Return an installation of this module as what it is."""
    assert isinstance(environment, CompleteEnvironment)
    return environment
