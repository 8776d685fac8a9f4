"""The suppression list: addresses that get no confirmation. The list holds digests, never an address."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from contracts.email import Email
from services.admin.schemas.filters import Filter, Limit


class Suppression(BaseModel):
    """One entry. `digest` is the beginning of the address's digest, which distinguishes entries."""

    model_config = ConfigDict(frozen=True)

    id: UUID
    digest: str
    site: Annotated[str | None, Field(description="Null: confirmations of all sites.")]
    reason: Literal["bounced", "complained", "manual"]
    lead_id: Annotated[UUID | None, Field(description="The lead whose email bounced or was reported.")]
    created_by: str
    created_at: datetime
    expires_at: datetime


class SuppressionList(BaseModel):
    """Entries that have not expired, newest first."""

    model_config = ConfigDict(frozen=True)

    suppressions: list[Suppression]
    total: int


class SuppressionFilter(Filter):
    """Limits the list."""

    limit: Limit = 50


class NewSuppression(BaseModel):
    """An address to suppress for 180 days. Only its digest is stored."""

    model_config = ConfigDict(extra="forbid")

    email: Email
    site: Annotated[str | None, Field(max_length=100, description="Null: all sites.")] = None
