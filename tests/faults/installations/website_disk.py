"""An installation with a real website: the site kit with its queue on a small disk, which a fault fills."""

import asyncio
import contextlib
import os
import random
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any, Final, cast
from uuid import NAMESPACE_URL, uuid5

import httpx

from tests.faults.environment import DIGEST_SITE, DIGEST_SITE_TOKEN, Environment
from tests.faults.injections.proxy import own_port
from tests.faults.injections.spool_faults import missing_mount
from tests.faults.installations.disks import full, mount, unmount
from tests.support.patience import patient
from tests.support.services.processes import ROOT
from tests.support.wait import eventually
from tests.support.web.plain_http import plain_client

_KIT: Final = ROOT / "site" / "kit" / "dist" / "index.js"
_QUEUE_TOKEN: Final = "token-of-the-website-with-a-small-disk"
# The kit's write check alone needs 300 KB.
_DISK_BYTES: Final = 1 << 20
# So many visitors before the disk is full, while it is, and once it has room again.
_VISITORS: Final = 10
_IMPORT_SECONDS: Final = 60.0
_SITE_QUEUE_JOB: Final = "UPDATE scheduled_job SET requested_at = now() WHERE name = 'site_queue'"


@cache
def missing_website() -> str | None:
    """Return what this machine lacks for the website, or None."""
    if missing := missing_mount():
        return missing
    if not shutil.which("node"):
        return "Node.js"
    return None if _KIT.exists() else "the built site kit (make site/kit/dist/index.js)"


class WebsiteEnvironment(Environment):
    """The installation."""

    port: int
    website: "subprocess.Popen[bytes] | None"

    @classmethod
    async def build_with_website(cls, folder: Path) -> "WebsiteEnvironment":
        """Return the installation in this folder, not started."""
        environment = cast("WebsiteEnvironment", await cls.build(folder))
        environment.port, environment.website = own_port(), None
        environment.services["flusher"].environment |= {
            "FASTCORE_SITE_QUEUE_URL": f"{DIGEST_SITE}:{environment.url}/queue",
            "FASTCORE_SITE_QUEUE_TOKEN": f"{DIGEST_SITE}:{_QUEUE_TOKEN}",
            "FASTCORE_FLUSHER_GATEWAY_URL": environment.services["ingest"].url,
        }
        return environment

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api/contact"

    @property
    def disk(self) -> Path:
        return self.folder / "website"

    async def start(self) -> None:
        await asyncio.to_thread(mount, self.disk, _DISK_BYTES)
        variables = {
            "FASTCORE_URL": self.services["ingest"].url,
            "FASTCORE_SITE_INGEST_TOKEN": DIGEST_SITE_TOKEN,
            "FASTCORE_SITE_QUEUE_TOKEN": _QUEUE_TOKEN,
            "FASTCORE_SITE_QUEUE_FOLDER": str(self.disk / "queue"),
        }
        with (self.folder / "website.log").open("wb") as log:
            self.website = subprocess.Popen(  # noqa: ASYNC220 - started here, ended in `stop`
                ["node", str(Path(__file__).with_name("website.mjs")), str(self.port)],
                env={**os.environ, **variables},
                stdout=log,
                stderr=log,
            )
        await super().start()

    async def stop(self, *, keep: bool) -> None:
        try:
            await super().stop(keep=keep)
        finally:
            if self.website:
                self.website.kill()
                self.website.wait()
            unmount(self.disk)

    async def queued(self) -> list[dict[str, Any]]:
        """Return the entries of the website's queue. Raises `httpx.HTTPError`."""
        headers = {"Authorization": f"Bearer {_QUEUE_TOKEN}"}
        async with plain_client(timeout=patient(10)) as client:
            answer = await client.get(f"{self.url}/queue", headers=headers)
            entries: list[dict[str, Any]] = answer.raise_for_status().json()["entries"]
            return entries

    async def visit(self, key: str) -> httpx.Response:
        """Send the form as a visitor does, from an address of his own."""
        body = {"name": "Visitor", "email": _email(key), "message": f"Sent as {key}"}
        async with plain_client(timeout=patient(30)) as client:
            return await client.post(self.url, json=body, headers={"Idempotency-Key": key})


async def website_disk_full(environment: Environment, rng: random.Random) -> None:
    """The gateway is away, and the disk of the website's queue fills: who gets a 503 sends the form again."""
    assert isinstance(environment, WebsiteEnvironment)
    keys = [f"visitor-{rng.getrandbits(64):016x}" for _ in range(3 * _VISITORS)]
    async with environment.exclusive("ingest"):
        await environment.services["ingest"].stop()
        environment.log_event("the gateway is stopped")
        assert not await _send(environment, keys[:_VISITORS]), "a 503, though the disk has room"
        with full(environment.disk):
            queued = len(await environment.queued())
            environment.log_event(f"the website's disk is full, with {queued} leads queued")
            refused = await _send(environment, keys[_VISITORS : 2 * _VISITORS])
        environment.log_event(f"the disk has room again; {len(refused)} visitors got a 503")
        assert not await _send(environment, [*refused, *keys[2 * _VISITORS :]]), "a 503 though it has room"
        await _expect_leads_of(environment, keys)
        assert refused, "the website's disk was never full"
        environment.services["ingest"].start()

    async def is_imported() -> bool:
        with contextlib.suppress(OSError):
            await environment.sql(_SITE_QUEUE_JOB)
        return not await environment.queued()

    await eventually(is_imported, seconds=_IMPORT_SECONDS, every=1, what="the website's queue is imported")
    environment.log_event("the website's queue is imported")


async def _send(environment: WebsiteEnvironment, keys: list[str]) -> list[str]:
    """Send the form once for each key, and return the keys that the website refused."""
    answers = await asyncio.gather(*map(environment.visit, keys))
    refused = [key for key, answer in zip(keys, answers, strict=True) if answer.status_code == 503]
    for answer in answers:
        assert answer.status_code in (202, 503), f"the website answered {answer.status_code}"
        assert answer.status_code == 202 or answer.headers["Retry-After"].isdecimal()
    return refused


async def _expect_leads_of(environment: WebsiteEnvironment, keys: list[str]) -> None:
    """Let the checks expect the lead of each visitor. Each is in the website's queue, once."""
    entries = await environment.queued()
    emails = sorted(each["body"]["email"] for each in entries)
    missing = {_email(key) for key in keys} - set(emails)
    assert not missing, f"{len(missing)} visitors got a 202, and their leads are not in the queue"
    assert len(emails) == len(keys), "a lead is in the queue twice"
    environment.poison.odd |= {_lead_id(each["idempotencyKey"]) for each in entries}  # good leads


def _email(key: str) -> str:
    return f"{key}@mail.example"


def _lead_id(key: str) -> str:
    """Return the documented id, without the code of the services."""
    return str(uuid5(uuid5(NAMESPACE_URL, "urn:fastcore:lead"), f"{DIGEST_SITE}\n{key}"))
