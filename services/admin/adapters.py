"""The admin service's connections to PostgreSQL, Kafka and the other services. Contains no logic."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from services.admin.monitoring.system_status import SystemStatus
from services.admin.rules.mail_rates import MailRates
from services.admin.rules.spam_shares import SpamShare
from services.admin.schemas.canary import CanaryStatus
from services.admin.store.audit import AuditLog
from services.admin.store.bulk.bulk_changes import BulkChanges
from services.admin.store.deliveries.destinations import Destinations
from services.admin.store.deliveries.failed_deliveries import FailedDeliveries
from services.admin.store.deliveries.queue import ReplayQueue
from services.admin.store.deliveries.recent_outcomes import RecentOutcomes
from services.admin.store.deliveries.replays import Replays
from services.admin.store.incidents import Incidents
from services.admin.store.leads.held import HeldLeads
from services.admin.store.leads.lead_exports import LeadExports
from services.admin.store.leads.leads import Leads
from services.admin.store.leads.notes import Notes
from services.admin.store.leads.responses import Responses
from services.admin.store.leads.trends import Trends
from services.admin.store.privacy.erasure import Erasures
from services.admin.store.privacy.personal_data import PersonalData
from services.admin.store.revocations import Revocations
from services.admin.store.stages import StageBreakers
from services.admin.store.suppressions import SuppressionEntries
from services.admin.store.views import Views


@dataclass(frozen=True)
class Adapters:
    """The repositories (leads, notes, replay queue, audit log, ...) and the reader of the system status."""

    leads: Leads
    held_leads: HeldLeads
    bulk: BulkChanges
    notes: Notes
    views: Views
    queue: ReplayQueue
    replays: Replays
    destinations: Destinations
    failed_deliveries: FailedDeliveries
    stages: StageBreakers
    audit: AuditLog
    exports: LeadExports
    personal_data: PersonalData
    erasures: Erasures
    trends: Trends
    responses: Responses
    revocations: Revocations
    recent_outcomes: Callable[[], Awaitable[RecentOutcomes]]
    mail_rates: Callable[[], Awaitable[MailRates]]
    mail_rates_of_day: Callable[[], Awaitable[MailRates]]
    risen_spam: Callable[[], Awaitable[list[SpamShare]]]
    incidents: Incidents
    suppressions: SuppressionEntries
    system: SystemStatus
    canaries: Callable[[], Awaitable[CanaryStatus]]


async def get_adapters(request: Request) -> Adapters:
    """Return the adapters of the app that serves the request."""
    adapters: Adapters = request.app.state.adapters
    return adapters


CurrentAdapters = Annotated[Adapters, Depends(get_adapters)]
