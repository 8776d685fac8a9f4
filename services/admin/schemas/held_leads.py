"""Held leads by site, and the decision about all held leads of a site."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from contracts.leads import LeadStatus
from services.admin.schemas.filters import Text, Time


class HeldSite(BaseModel):
    """The held leads of a site. `reason` is the limit that most of them exceeded."""

    model_config = ConfigDict(frozen=True)

    site: str
    leads: int
    oldest_at: datetime
    newest_at: datetime
    reason: str | None


class HeldDecision(BaseModel):
    """The new status of a site's held leads. Leads that were received after `until` stay held."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    site: Text
    new_status: Literal[LeadStatus.RECEIVED, LeadStatus.SPAM]
    until: Annotated[
        Time, Field(description="Only leads that were received until then: the `newest_at` that you saw.")
    ]


class HeldLeadsDecided(BaseModel):
    """The result of a decision: the number of changed leads.

    `left` is the number of leads that are still held. It is at most 10,000.
    """

    model_config = ConfigDict(frozen=True)

    site: str
    changed: int
    left: int
