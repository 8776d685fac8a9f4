"""Asks every part at once how it is, each for a moment only. What does not answer is unknown, never 0."""

import asyncio
from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Any

from contracts import topics
from runtime.failures import DependencyUnavailable
from services.admin.adapters import Adapters
from services.admin.monitoring.consumer_lag import LagReader
from services.admin.monitoring.queue_counts import Census
from services.admin.schemas.system import GroupLag, PartHealth, QueueStats, SiteQueue, SystemHealth


async def survey_queue(given: Adapters) -> QueueStats:
    """Return what is stuck, how far behind consumers are, and whether the books balance."""
    census, groups, gateways = await asyncio.gather(
        _census(given), survey_groups(given.lag), given.peers.ask_gateways()
    )
    flusher = next(group for group in groups if group.group == topics.GROUPS["flusher"])
    return QueueStats(
        at=census.at if census else None,
        stages=census.stages if census else None,
        books=census.books if census else None,
        read_at=datetime.now(UTC),
        groups=groups,
        failed_not_taken=flusher.topics[topics.FAILED.name] if flusher.topics else None,
        gateways=gateways,
        site_queues=await _site_queues(given) if census else None,
    )


async def survey_groups(lag: LagReader) -> list[GroupLag]:
    """Return how far each consumer group is behind."""
    names = topics.GROUPS.values()
    try:
        found = await lag.read()
    except DependencyUnavailable as away:
        return [GroupLag(group=name, lag=None, topics=None, reason=away.reason) for name in names]
    return [GroupLag(group=name, lag=sum(found[name].values()), topics=found[name]) for name in names]


async def _site_queues(given: Adapters) -> list[SiteQueue] | None:
    try:
        return await given.store.list_site_queues()
    except DependencyUnavailable:
        return None


async def survey_health(given: Adapters) -> SystemHealth:
    """Return the state of database, broker, mail and each service."""
    database, broker, services = await asyncio.gather(
        _try(given.store.ping()), _try(given.lag.ping()), given.peers.ask_services()
    )
    mail = _mail(services)
    down = any(part.state == "down" for part in (database, broker, mail, *services.values()))
    return SystemHealth(
        status="down" if down else "up",
        at=datetime.now(UTC),
        database=database,
        broker=broker,
        mail=mail,
        services=services,
    )


async def _census(given: Adapters) -> Census | None:
    try:
        # A server that hangs would hold the census for its long timeout; this is for such days.
        await given.store.ping()
        return await given.census()
    except DependencyUnavailable:
        return None


async def _try(question: Coroutine[Any, Any, None]) -> PartHealth:
    try:
        await question
    except DependencyUnavailable as away:
        return PartHealth(state="down", reason=away.reason)
    return PartHealth(state="up")


def _mail(services: dict[str, PartHealth]) -> PartHealth:
    """Return what the notifier says of its mail server: it alone talks to it."""
    parts = services["notifier"].parts if "notifier" in services else None
    smtp = parts.get("smtp") if parts else None
    if not isinstance(smtp, dict):
        return PartHealth(state="unknown", reason="the notifier does not say")
    return PartHealth(state="up" if smtp.get("ok") else "down", reason=str(smtp.get("reason") or "") or None)
