"""The job that sends a canary to each site, and writes what the gateway or the website answered."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import httpx
from uuid_utils.compat import uuid7

from runtime.database.canaries import CanaryResult, add_results
from runtime.database.postgres import Pool, load_queries, transaction
from runtime.failures import Backoff, Failure
from runtime.logs import logger
from runtime.sites.model import Sites
from services.flusher.canary.canary_client import ANSWER_SECONDS, UNMARKED, Canary, CanaryClient, Sent
from services.flusher.jobs.job_runs import JobRuns
from services.flusher.jobs.scheduled_job import Report, ScheduledJob
from services.flusher.settings import Settings
from services.flusher.store import Clock

JOB: Final = "canary"
CONCURRENCY: Final = 16
# A gateway that takes the canary for an ordinary lead gets at most one such lead in this time.
UNMARKED_PAUSE: Final = timedelta(hours=1)
SQL: Any = load_queries(Path(__file__).with_name("canary_job.sql"))


class CanaryJob:
    """Sends canaries. `apply` replaces the sites by those of a new version of the sites file."""

    def __init__(
        self, pool: Pool, client: CanaryClient, sites: Sites, tokens: Mapping[str, str], clock: Clock
    ) -> None:
        """`tokens` are the gateway's tokens by site. They test the sites that have no form and no website."""
        self._pool = pool
        self._tokens = tokens
        self._client = client
        self._sites = sites
        self._clock = clock
        self._unmarked_at: dict[tuple[str, str], datetime] = {}
        self._log = logger(JOB)

    def apply(self, sites: Sites) -> None:
        """Use these sites from the next run on."""
        self._sites = sites

    async def run(self) -> Report:
        """Send a canary through each form and each website. Raises `Failure` if the database does not answer.

        The report says how many canaries were sent, and how many a hop refused. The run succeeds all the
        same: what the hops did is no failure of the job.
        """
        canaries = self._new_canaries()
        async with transaction(self._pool) as connection:
            await SQL.delete_old(connection)
            await SQL.add_canaries(
                connection,
                ids=[each.id for each in canaries],
                sites=[each.site for each in canaries],
                routes=[each.route for each in canaries],
            )
        slots = asyncio.Semaphore(CONCURRENCY)
        sent = await asyncio.gather(*(self._send(each, slots) for each in canaries))
        results = [result for each in sent for result in each.results]
        async with transaction(self._pool) as connection:
            await add_results(connection, results)
        refused = sum(any(result.reason for result in each.results) for each in sent)
        return Report({"sent": len(canaries), "refused": refused})

    def _new_canaries(self) -> list[Canary]:
        forms = [
            Canary(uuid7(), name, route, site)
            for name, site in self._sites.by_name.items()
            for route, place in (("form", site.form_key), ("website", site.contact_url))
            if place
        ]
        tested = {each.site for each in forms}
        return forms + [
            Canary(uuid7(), name, "api", token=token)
            for name, token in self._tokens.items()
            if name not in tested
        ]

    async def _send(self, canary: Canary, slots: asyncio.Semaphore) -> Sent:
        unmarked_at = self._unmarked_at.get((canary.site, canary.route))
        if unmarked_at and self._clock() - unmarked_at < UNMARKED_PAUSE:
            return Sent([CanaryResult(canary.id, "gateway", UNMARKED)])
        async with slots:
            sent = await self._client.send(canary)
        if sent.is_unmarked:
            self._unmarked_at[canary.site, canary.route] = self._clock()
            self._log.error(
                "the gateway took a canary for an ordinary lead: set the same FASTCORE_CANARY_SECRET",
                site=canary.site,
                route=canary.route,
            )
        return sent


@asynccontextmanager
async def open_canary_job(
    settings: Settings, pool: Pool, sites: Sites, clock: Clock
) -> AsyncIterator[CanaryJob | None]:
    """Yield the job, or None if no secret is set."""
    secret = settings.canary.key
    if not secret:
        yield None
        return
    async with httpx.AsyncClient(timeout=ANSWER_SECONDS, trust_env=False) as client:
        url = settings.canary.gateway_url or settings.gateway_url
        yield CanaryJob(pool, CanaryClient(client, secret, url), sites, settings.ingest_tokens(), clock)


async def run_canary_job(job: CanaryJob | None, cron: str, pool: Pool, runs: JobRuns, clock: Clock) -> None:
    """Run the job on schedule until cancelled. If it is None, only write that no run is planned."""
    if job:
        await ScheduledJob(JOB, cron, runs, clock, job.run).run()
        return
    backoff, attempt = Backoff(), 0
    while True:
        try:
            async with transaction(pool) as connection:
                await SQL.stop_job(connection, name=JOB)
        except Failure:  # readiness reports the database
            attempt += 1
            await asyncio.sleep(backoff.seconds(attempt))
        else:
            return
