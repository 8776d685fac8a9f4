"""Reads the health signals, and makes the dashboard's headline from them.

The pages that show the headline read the signals at each request. A background task also reads them every 15
s: it counts the disruptions for the navigation, and records the incidents.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, TypeVar

from fastapi import FastAPI

from runtime.failures import DependencyUnavailable
from runtime.logs import logger
from runtime.tasks import seconds_to_next
from services.admin.adapters import Adapters
from services.admin.dashboard.cache import Cache
from services.admin.dashboard.disruptions.headline import make_headline
from services.admin.dashboard.disruptions.signals import Signals
from services.admin.dashboard.sightings import find_sightings
from services.admin.schemas.destinations import DestinationSummary
from services.admin.store.deliveries.destinations import kinds_of

Loaded = TypeVar("Loaded")

POLL_SECONDS: Final = 15.0
STATUS_MAX_AGE_SECONDS: Final = 2.0
RECENT_MAX_AGE_SECONDS: Final = 10.0
EMAILS_MAX_AGE_SECONDS: Final = 5.0
SPAM_MAX_AGE_SECONDS: Final = 60.0


async def read_signals(app: FastAPI, cache: Cache) -> Signals:
    """Return all health signals, and store the resulting headline in `app.state.headline`.

    The navigation on every page shows the number of disruptions in the stored headline. A page that shows
    texts of the headline calls `make_headline` itself, because the stored texts may be in another viewer's
    language.
    """
    adapters: Adapters = app.state.adapters

    async def load(key: str, read: Callable[[], Awaitable[Loaded]], seconds: float) -> Loaded | None:
        # What could not be read is not cached: a page would show it long after the database is back.
        return await _or_none(partial(cache.get_or_load, key, read, seconds))

    health, stats, recent, (jobs, spam, held, destinations, emails) = await asyncio.gather(
        cache.get_or_load("health", adapters.system.read_health, STATUS_MAX_AGE_SECONDS),
        cache.get_or_load("queue", adapters.system.read_queue_stats, STATUS_MAX_AGE_SECONDS),
        load("recent", adapters.recent_outcomes, RECENT_MAX_AGE_SECONDS),
        # mypy knows the types of at most six results.
        asyncio.gather(
            load("jobs", adapters.system.list_jobs, RECENT_MAX_AGE_SECONDS),
            load("spam", adapters.risen_spam, SPAM_MAX_AGE_SECONDS),
            load("held", adapters.held_leads.list_sites, RECENT_MAX_AGE_SECONDS),
            read_destinations(app, cache),
            load("emails", adapters.mail_rates, EMAILS_MAX_AGE_SECONDS),
        ),
    )
    signals = Signals(health, stats, recent, jobs, spam, held, app.state.sites, destinations, emails)
    app.state.headline = make_headline(signals)
    return signals


async def read_destinations(app: FastAPI, cache: Cache) -> list[DestinationSummary] | None:
    """Return the destinations with their state, or None if the database is unavailable."""

    async def read() -> list[DestinationSummary]:
        found = await app.state.adapters.destinations.list_destinations(kinds_of(app.state.sites))
        destinations: list[DestinationSummary] = found.destinations
        return destinations

    return await _or_none(partial(cache.get_or_load, "destinations", read, RECENT_MAX_AGE_SECONDS))


async def poll_headline(app: FastAPI) -> None:
    """Read the signals and record the incidents every `POLL_SECONDS`, until the task is cancelled.

    The poll must not share a cache with the pages. Otherwise a page could show signals from before its own
    change.
    """
    while True:
        try:
            signals = await read_signals(app, Cache())
            await _or_none(partial(app.state.adapters.incidents.record, find_sightings(signals)))
        except Exception as error:  # noqa: BLE001 - without the count, the pages still work
            logger("headline").error("health signals not read", exc_info=error)
        await asyncio.sleep(seconds_to_next(POLL_SECONDS))


async def _or_none(load: Callable[[], Awaitable[Loaded]]) -> Loaded | None:
    """Return what `load` returns, or None if the database is unavailable."""
    try:
        return await load()
    except DependencyUnavailable:
        return None
