"""What admins see of groups and replays, as typed models. No logic."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, Field, JsonValue

Result = Literal["queued", "sent", "resolved", "failed", "skipped", "cancelled"]
ReplayState = Literal["running", "finished", "cancelled"]


class QueueGroup(BaseModel):
    """Rows with the same trouble. Its four names select them in items and in a replay, too."""

    stage: str
    kind: str
    state: str
    reason: str
    rows: int
    oldest_at: datetime
    newest_at: datetime


class QueueGroups(BaseModel):
    """The groups, the largest first. `total` counts the rows of all groups, also beyond the first 500."""

    groups: list[QueueGroup]
    total: int


class Requested(BaseModel):
    """The row goes out within two seconds."""

    queue_id: UUID
    previous_state: str
    state: str
    attempts: int
    message: str


class ChosenGroup(BaseModel):
    """How many rows of one trouble are replayed."""

    stage: str
    kind: str
    state: str
    reason: str
    rows: int


class BlockedGroup(ChosenGroup):
    """How many rows of one trouble cannot be replayed, why, and which: up to 1,000 ids."""

    why: str
    ids: list[UUID]


class Replay(BaseModel):
    """One replay by filter. `taken` rows of `wanted` had their turn."""

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
    """What is, or would be, replayed. `replay` is null in a preview; `unknown_ids` are in no row."""

    dry_run: bool
    wanted: int
    seconds: int = Field(description="How long it takes at this rate, at least.")
    groups: list[ChosenGroup]
    blocked: list[BlockedGroup]
    unknown_ids: list[UUID]
    replay: Replay | None
    message: str


class ReplayHistory(BaseModel):
    """A page of replays, newest first."""

    replays: list[Replay]
    limit: int
    next_cursor: str | None


class Outcomes(BaseModel):
    """How many rows of a replay stand where; together they are all that were wanted."""

    queued: int = Field(0, description="not sent yet")
    sent: int = Field(0, description="sent, and the stage has not answered yet")
    resolved: int = Field(0, description="the effect is there")
    failed: int = Field(0, description="failed again: it waits for a retry, or is dead")
    skipped: int = Field(0, description="nothing to send at its turn: on its way already, or its lead erased")
    cancelled: int = Field(0, description="never sent, for the replay was cancelled; it stays as it was")


class ReplayResult(BaseModel):
    """What became of one row; `state` and `reason` are the row's of now."""

    queue_id: UUID
    stage: str
    kind: str
    lead_id: UUID | None
    state: str
    reason: str
    turn_at: datetime | None
    result: Result


class ReplayDetail(BaseModel):
    """One replay, how far it is, and a page of its rows by id.

    With `result` a page may hold fewer rows than `limit`, or none, and yet have a `next_cursor`.
    """

    replay: Replay
    outcomes: Outcomes
    outcomes_are_estimates: bool = Field(
        description="What became of many rows is told by a sample; queued and cancelled are exact."
    )
    results: list[ReplayResult]
    limit: int
    next_cursor: UUID | None


class Cancelled(BaseModel):
    """The replay sends nothing more. `cancelled` rows were never sent and stay as they were."""

    replay: Replay
    cancelled: int
    message: str
