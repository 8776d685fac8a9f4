"""What this service opened to the outside, in one hand. No logic."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from services.admin.monitoring.consumer_lag import LagReader
from services.admin.monitoring.queue_counts import Census
from services.admin.monitoring.service_clients import Peers
from services.admin.store.failed_deliveries import Workbench
from services.admin.store.leads import Store
from services.admin.store.personal_data import People
from services.admin.store.recent_outcomes import RecentOutcomes
from services.admin.store.revocations import Revocations
from services.admin.store.trends import Trends


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
