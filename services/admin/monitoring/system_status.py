"""Reads the status of the database, Kafka and all services concurrently.

So a component that is down does not delay the results of the others.
"""

import asyncio
from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Any

from contracts import topics
from contracts.mail_previews import MailPreview, UndeliverableMail
from runtime.database.postgres import Pool, ping
from runtime.failures import DependencyUnavailable
from services.admin.monitoring.consumer_lag import LagReader
from services.admin.monitoring.mail_outcomes import count_mail_outcomes
from services.admin.monitoring.queue_counts import QueueCounts, count_queue
from services.admin.monitoring.scheduled_jobs import list_jobs, list_site_queues, read_jobs
from services.admin.monitoring.service_clients import ServiceClients
from services.admin.rules.mail_rates import MailRates, describe_failing
from services.admin.schemas.system import GroupLag, Job, Jobs, PartHealth, QueueStats, SiteQueue, SystemHealth


class SystemStatus:
    """Reads the status of the whole system. Each read takes a few seconds at most."""

    def __init__(self, pool: Pool, lag: LagReader, services: ServiceClients) -> None:
        self._pool = pool
        self._lag = lag
        self._services = services

    async def read_queue_stats(self) -> QueueStats:
        """Return the queue's counts, the ledger, the consumer lag and the spools. Unknown values are null."""
        counts, groups, gateways = await asyncio.gather(
            self._count_queue_if_available(), read_group_lags(self._lag), self._services.read_gateways()
        )
        flusher = next(group for group in groups if group.group == topics.GROUPS["flusher"])
        return QueueStats(
            at=counts.at if counts else None,
            stages=counts.stages if counts else None,
            books=counts.books if counts else None,
            read_at=datetime.now(UTC),
            groups=groups,
            failed_not_taken=flusher.topics[topics.FAILED.name] if flusher.topics else None,
            gateways=gateways,
            site_queues=await self._list_site_queues_if_available() if counts else None,
        )

    async def read_health(self) -> SystemHealth:
        """Return the state of the database, the broker, the mail server and each service."""
        (database, rates), broker, services = await asyncio.gather(
            self._check_database(), _check(self._lag.ping()), self._services.read_readiness()
        )
        mail = _mail_health(services, rates)
        is_down = any(part.state == "down" for part in (database, broker, mail, *services.values()))
        return SystemHealth(
            status="down" if is_down else "up",
            at=datetime.now(UTC),
            database=database,
            broker=broker,
            mail=mail,
            services=services,
        )

    async def count_queue(self) -> QueueCounts:
        """Return the counts of the replay queue and the ledger. Raises `DependencyUnavailable`.

        All counts are from one database snapshot.
        """
        return await count_queue(self._pool)

    async def read_mail_preview(
        self, kind: str, site: str, locale: str
    ) -> MailPreview | UndeliverableMail | None:
        """Return the preview of an email, or None if the notifier does not answer."""
        return await self._services.read_mail_preview(kind, site, locale)

    async def list_jobs(self) -> list[Job]:
        """Return the scheduled jobs. Raises `DependencyUnavailable`."""
        return await list_jobs(self._pool)

    async def read_jobs(self) -> Jobs:
        """Return the scheduled jobs and the retry schedules. Raises `DependencyUnavailable`."""
        return await read_jobs(self._pool)

    async def _check_database(self) -> tuple[PartHealth, MailRates]:
        """Return the state of the database, and the emails of the last hour if it answers."""
        try:
            await ping(self._pool)
            return PartHealth(state="up"), await count_mail_outcomes(self._pool)
        except DependencyUnavailable as error:
            return PartHealth(state="down", reason=error.reason), MailRates()

    async def _count_queue_if_available(self) -> QueueCounts | None:
        try:
            # A ping first: it fails within a second, while the counts would wait for a server that hangs.
            await ping(self._pool)
            return await count_queue(self._pool)
        except DependencyUnavailable:
            return None

    async def _list_site_queues_if_available(self) -> list[SiteQueue] | None:
        try:
            return await list_site_queues(self._pool)
        except DependencyUnavailable:
            return None


async def read_group_lags(lag: LagReader) -> list[GroupLag]:
    """Return each consumer group's lag. If Kafka does not answer, the lags are null, with the reason."""
    names = topics.GROUPS.values()
    try:
        lags = await lag.read()
    except DependencyUnavailable as error:
        return [GroupLag(group=name, lag=None, topics=None, reason=error.reason) for name in names]
    return [
        GroupLag(
            group=name,
            lag=sum(lags[name].values()),
            topics=lags[name],
            oldest_seconds=lag.oldest_seconds.get(name),
        )
        for name in names
    ]


async def _check(probe: Coroutine[Any, Any, None]) -> PartHealth:
    try:
        await probe
    except DependencyUnavailable as error:
        return PartHealth(state="down", reason=error.reason)
    return PartHealth(state="up")


def _mail_health(services: dict[str, PartHealth], rates: MailRates) -> PartHealth:
    """Return the mail server's health, as the notifier reports it.

    No other service connects to the mail server. A server that answers is down too if most emails of the last
    hour fail. The reason then quotes what servers say.
    """
    parts = services["notifier"].parts if "notifier" in services else None
    smtp = parts.get("smtp") if parts else None
    if not isinstance(smtp, dict):
        return PartHealth(state="unknown", reason="the notifier does not say")
    if smtp.get("ok") and rates.severity == "bad":
        reason = describe_failing(rates)
        return PartHealth(state="down", reason=reason, parts={"emails": {"ok": False, "reason": reason}})
    return PartHealth(state="up" if smtp.get("ok") else "down", reason=str(smtp.get("reason") or "") or None)
