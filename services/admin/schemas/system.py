"""Responses about the status of the system: queue, consumer lag, spools, jobs, health."""

from datetime import datetime
from typing import Any, Final, Literal

from pydantic import BaseModel, Field, JsonValue

from services.admin.schemas.ledger import Books

State = Literal["up", "down", "unknown"]
# The flusher's job that imports the leads that websites have queued.
SITE_QUEUE_JOB: Final = "site_queue"


class StageQueue(BaseModel):
    """The number of a stage's rows in the replay queue, by state. The flusher sends the `due` rows next."""

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
    """The number of records that a consumer group has yet to process, in total and by topic.

    The numbers are null if they are unknown.
    """

    group: str
    lag: int | None
    topics: dict[str, int] | None
    oldest_seconds: float | None = Field(
        default=None, description="For how many seconds, at least, the oldest of these records has waited."
    )
    reason: str | None = Field(default=None, description="Why the lag is unknown.")


class GatewaySpool(BaseModel):
    """The status of one gateway, with its spool. If the gateway did not answer, `status` is null."""

    url: str
    address: str | None
    state: State
    status: dict[str, JsonValue] | None
    reason: str | None = None


class SiteQueue(BaseModel):
    """A website's own queue of leads, as the flusher's last run found it.

    `depth` is null if the website did not answer.
    """

    site: str
    asked_at: datetime | None
    depth: int | None = None
    oldest_queued_at: datetime | None = None
    pulled: int = Field(default=0, description="Leads imported by that run.")
    refused: int = Field(
        default=0, description="Leads that the gateway refused; they are in the replay queue."
    )
    unreadable: int = Field(default=0, description="Entries that cannot be read; they stay on the website.")
    damaged: int = Field(default=0, description="Damaged files; they stay on the website.")
    reason: str | None = Field(default=None, description="Why that run did not finish.")


class QueueStats(BaseModel):
    """The state of the queue, the ledger, Kafka and the gateways.

    `stages` and `books` come from one database snapshot. The other fields are read a moment later.
    """

    at: datetime | None = Field(description="The time of the snapshot; null if the database is unavailable.")
    stages: list[StageQueue] | None
    books: Books | None
    read_at: datetime = Field(description="When the fields below were read.")
    groups: list[GroupLag]
    failed_not_taken: int | None = Field(
        description="Failures that are not in the replay queue yet: the flusher's lag on the failed topic."
    )
    gateways: list[GatewaySpool]
    site_queues: list[SiteQueue] | None = Field(
        description="Websites with a queue of their own; null if the database is unavailable."
    )


class Job(BaseModel):
    """A scheduled job and its last run. `overdue` means that the next run is at least a minute late."""

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


class RetrySchedule(BaseModel):
    """The schedule of a stage's retries. The service that does the retries reports it.

    If `work` is `records`, the flusher retries the stage's rows of the replay queue. If it is `deliveries`,
    the service `webhooks` retries requests to destinations.
    """

    stage: str
    work: Literal["records", "deliveries"]
    waits_seconds: list[float] = Field(
        description="The wait before the first retry, the second, and so on. After the last one it is dead."
    )
    jitter: float = Field(description="Each wait is up to this share longer.")
    cron: str | None = Field(description="Retries are sent at these times (UTC); null: as soon as due.")
    reported_at: datetime


class Jobs(BaseModel):
    """All scheduled jobs, and the retry schedule of each stage."""

    jobs: list[Job]
    retries: list[RetrySchedule] = Field(
        default_factory=list, description="Empty until a flusher or `webhooks` has reported them."
    )


class PartHealth(BaseModel):
    """The state of a service or of a dependency. `parts` has the results of a service's own checks."""

    state: State
    reason: str | None = None
    parts: dict[str, JsonValue] | None = None


class ServiceProcess(BaseModel):
    """The readiness of one process of a service. `address` is null if the service's name is not known."""

    service: str
    address: str | None
    health: PartHealth


class SystemHealth(BaseModel):
    """The health of the whole system. `status` is `down` if a service or a dependency is down."""

    status: Literal["up", "down"]
    at: datetime
    database: PartHealth
    broker: PartHealth
    mail: PartHealth
    services: dict[str, PartHealth]
