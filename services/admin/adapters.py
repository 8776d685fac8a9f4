"""What this service opened to the outside, in one hand. No logic."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from services.admin.census import Census
from services.admin.lag import LagReader
from services.admin.peers import Peers
from services.admin.people import People
from services.admin.recent_outcomes import RecentOutcomes
from services.admin.revocations import Revocations
from services.admin.store import Store
from services.admin.trends import Trends
from services.admin.workbench import Workbench


@dataclass(frozen=True)
class Adapters:
    """The database, its census, trends and recent outcomes, Kafka and the other services."""

    store: Store
    people: People
    census: Callable[[], Awaitable[Census]]
    lag: LagReader
    peers: Peers
    workbench: Workbench
    trends: Trends
    revocations: Revocations
    recent_outcomes: Callable[[], Awaitable[RecentOutcomes]]
