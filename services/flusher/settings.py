"""What the flusher can be told. Sections that every service has come from runtime."""

from typing import Annotated

from apscheduler.triggers.cron import CronTrigger
from pydantic import AfterValidator, Field
from pydantic_settings import BaseSettings

from runtime.settings import Kafka, Log, Postgres, Tracing, section


def _crontab(value: str) -> str:
    try:
        CronTrigger.from_crontab(value, timezone="UTC")
    except ValueError as error:
        raise ValueError("must be a cron line of five fields, such as */5 * * * *") from error
    return value


class Settings(BaseSettings):
    """The flusher's settings, read from the environment and `.env`."""

    model_config = section("FASTCORE_FLUSHER_")
    kafka: Kafka = Field(default_factory=Kafka)
    postgres: Postgres = Field(default_factory=Postgres)
    log: Log = Field(default_factory=Log)
    tracing: Tracing = Field(default_factory=Tracing)
    cron: Annotated[str, AfterValidator(_crontab)] = "*/5 * * * *"
    """When what is due is sent again: minute, hour, day, month, weekday (by name: mon), in UTC."""
    retention_days: int | None = Field(default=None, ge=1)
    """Personal data of leads older than so many days is erased, once a day; without it, never."""
