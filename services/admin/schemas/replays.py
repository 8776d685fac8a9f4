"""Responses about groups of failed deliveries and about replays."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, Field, JsonValue

Result = Literal["queued", "sent", "resolved", "failed", "skipped", "cancelled"]
ReplayState = Literal["running", "finished", "cancelled"]


class QueueGroup(BaseModel):
    """Rows with the same failure. To select them, use `stage`, `kind`, `state` and `reason` as parameters."""

    stage: str
    kind: str
    state: str
    reason: str
    rows: int
    oldest_at: datetime
    newest_at: datetime


class QueueGroups(BaseModel):
    """The groups, the largest first (500 at most). `total` counts the rows of all groups."""

    groups: list[QueueGroup]
    total: int


class Requested(BaseModel):
    """The response to a request to resend one row. The row is sent within two seconds."""

    queue_id: UUID
    previous_state: str
    state: str
    attempts: int
    message: str


class ChosenGroup(BaseModel):
    """A group of rows that have the same failure and can be replayed. `rows` is the number of rows."""

    stage: str
    kind: str
    state: str
    reason: str
    rows: int


class BlockedGroup(ChosenGroup):
    """A group of rows that cannot be replayed. `why` is the reason. `ids` has at most 1,000 row ids."""

    why: str
    ids: list[UUID]


class Replay(BaseModel):
    """A replay of all rows that match a filter. So far, `taken` of its `wanted` rows are processed."""

    id: UUID
    state: ReplayState
    requested_by: str
    comment: str | None
    filter: dict[str, JsonValue]
    per_second: int
    wanted: int
    taken: int
    created_at: datetime
    finished_at: datetime | None
    cancelled_at: datetime | None
    cancelled_by: str | None


class ReplayAnswer(BaseModel):
    """The preview of a replay, or the started replay. `replay` is null in a preview.

    `groups` are the matching rows that can be replayed. `blocked` are those that cannot be replayed.
    `unknown_ids` are the requested ids that do not exist.
    """

    dry_run: bool
    wanted: int
    seconds: int = Field(description="How long the replay takes at least, at the requested rate.")
    groups: list[ChosenGroup]
    blocked: list[BlockedGroup]
    unknown_ids: list[UUID]
    replay: Replay | None
    message: str


class ArchiveAnswer(BaseModel):
    """The preview of an archiving, or what was archived.

    `rows` is the number of rows. `groups` are the rows of a preview that have the same failure.
    """

    dry_run: bool
    rows: int
    groups: list[ChosenGroup]
    message: str


class ReplayHistory(BaseModel):
    """A page of replays, newest first."""

    replays: list[Replay]
    limit: int
    next_cursor: str | None


class Outcomes(BaseModel):
    """The number of a replay's rows by result. The numbers add up to all rows of the replay."""

    queued: int = Field(0, description="not sent yet")
    sent: int = Field(0, description="sent, but the stage has not reported a result yet")
    resolved: int = Field(0, description="the delivery succeeded")
    failed: int = Field(0, description="failed again: waiting for a retry, or dead")
    skipped: int = Field(0, description="not sent: already being delivered, or its lead was erased")
    cancelled: int = Field(0, description="not sent, because the replay was cancelled; unchanged")


class ReplayResult(BaseModel):
    """The result of one row of a replay. `state` and `reason` are the row's current values."""

    queue_id: UUID
    stage: str
    kind: str
    lead_id: UUID | None
    state: str
    reason: str
    turn_at: datetime | None
    result: Result


class CountedOutcomes(BaseModel):
    """The outcomes of a replay, and whether they were counted or estimated."""

    outcomes: Outcomes
    outcomes_are_estimates: bool = Field(
        description="True for large replays: outcomes come from a sample, except queued and cancelled."
    )


class ReplayDetail(CountedOutcomes):
    """One replay, its progress, and a page of its rows in the order of their ids.

    With the parameter `result`, a page may be short or empty although more pages follow. Only a page without
    a `next_cursor` is the last one.
    """

    replay: Replay
    results: list[ReplayResult]
    limit: int
    next_cursor: UUID | None


class Cancelled(BaseModel):
    """The cancelled replay. `cancelled` is the number of rows that were not sent. They stay as they were."""

    replay: Replay
    cancelled: int
    message: str
