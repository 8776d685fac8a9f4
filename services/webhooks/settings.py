"""The settings of the webhooks service. The destinations are in the sites file (docs/destinations.md)."""

from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_settings import BaseSettings

from runtime.settings import Kafka, Log, Postgres, SitesFile, Tracing, section
from services.webhooks.retry_schedule import DEFAULT_WAITS_SECONDS, RetrySchedule, parse_waits


def _waits(value: str) -> str:
    parse_waits(value)
    return value


class Settings(BaseSettings):
    """The settings of the webhooks service, read from the environment and `.env`."""

    model_config = section("FASTCORE_WEBHOOKS_")
    kafka: Kafka = Field(default_factory=Kafka)
    postgres: Postgres = Field(default_factory=Postgres)
    log: Log = Field(default_factory=Log)
    tracing: Tracing = Field(default_factory=Tracing)
    sites_file: SitesFile = Field(default_factory=SitesFile)
    admin_url: str = Field(default="", pattern=r"^(https?://[^\s<>\"]+)?$")
    """The URL of the dashboard for the link in chat messages: https://example.com/admin. Empty: no link."""
    timeout_seconds: float = Field(default=15.0, gt=0, le=60)
    """Time that a destination has to answer a request, from connecting to the end of its response."""
    retry_waits_seconds: Annotated[str, AfterValidator(_waits)] = DEFAULT_WAITS_SECONDS
    """Waits before the retries of a failed delivery, in seconds. After the last retry it is dead."""

    @property
    def retry_schedule(self) -> RetrySchedule:
        """The retry schedule of deliveries."""
        return RetrySchedule(parse_waits(self.retry_waits_seconds))
