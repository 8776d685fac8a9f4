"""What the installation says of itself, as typed models: queue, lag, spools, jobs, health. No logic."""

from datetime import datetime
from typing import Any, Final, Literal

from pydantic import BaseModel, Field, JsonValue

from services.admin.schemas.ledger import Books

State = Literal["up", "down", "unknown"]
# The flusher's job that imports the leads that websites have queued.
SITE_QUEUE_JOB: Final = "site_queue"


class StageQueue(BaseModel):
    """The replay queue of one stage. `due` would be sent by the next run of the job."""

    stage: str
    waiting: int
    replaying: int
    due: int
    dead: int
    resolved: int
    archived: int
    oldest_open_at: datetime | None
    oldest_open_age_seconds: float | None
    paused: bool
    pause_reason: str | None


class GroupLag(BaseModel):
    """Records between a group's committed offsets and the ends. Null where it is not known."""

    group: str
    lag: int | None
    topics: dict[str, int] | None
    reason: str | None = Field(default=None, description="Why it is not known.")


class GatewaySpool(BaseModel):
    """What one gateway says of itself. Null where it did not answer: unknown is not empty."""

    url: str
    address: str | None
    state: State
    status: dict[str, JsonValue] | None
    reason: str | None = None


class SiteQueue(BaseModel):
    """A website's own queue, as the flusher's last run saw it. Null where the website did not answer."""

    site: str
    asked_at: datetime | None
    depth: int | None = None
    oldest_queued_at: datetime | None = None
    pulled: int = Field(default=0, description="Leads fetched by that run.")
    refused: int = Field(default=0, description="Leads that the gateway refused; they are in the queue.")
    unreadable: int = Field(default=0, description="Entries that stay there, for nobody can read them.")
    damaged: int = Field(default=0, description="Files that the website's disk has damaged; they stay there.")
    reason: str | None = Field(default=None, description="Why that run did not come to its end.")


class QueueStats(BaseModel):
    """Stages and books are of one database snapshot; lag and gateways are readings of a moment later."""

    at: datetime | None = Field(description="The time of the snapshot; null where the database is away.")
    stages: list[StageQueue] | None
    books: Books | None
    read_at: datetime = Field(description="The time of the readings below.")
    groups: list[GroupLag]
    failed_not_taken: int | None = Field(
        description="Failures on their way to the replay queue: the flusher's lag on the failed topic."
    )
    gateways: list[GatewaySpool]
    site_queues: list[SiteQueue] | None = Field(
        description="Websites that keep a queue of their own; null where the database is away."
    )


class Job(BaseModel):
    """A scheduled job and its last run. `overdue` says that it should have run a minute ago."""

    name: str
    schedule: str
    runs: int
    last_started_at: datetime | None
    last_finished_at: datetime | None
    last_outcome: str | None
    last_duration_ms: int | None
    last_details: dict[str, Any]
    next_run_at: datetime | None
    overdue: bool


class Jobs(BaseModel):
    """All scheduled jobs."""

    jobs: list[Job]


class PartHealth(BaseModel):
    """One thing that FASTCore needs."""

    state: State
    reason: str | None = None
    parts: dict[str, JsonValue] | None = None


class SystemHealth(BaseModel):
    """The state of the whole. `status` is down where one part is."""

    status: Literal["up", "down"]
    at: datetime
    database: PartHealth
    broker: PartHealth
    mail: PartHealth
    services: dict[str, PartHealth]
