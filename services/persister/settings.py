"""The settings of the persister. The settings that all services share are in `runtime.settings`."""

from pydantic import Field
from pydantic_settings import BaseSettings

from runtime.settings import Kafka, Log, Postgres, Tracing, section


class Settings(BaseSettings):
    """The persister's settings, read from the environment and `.env`."""

    model_config = section("FASTCORE_PERSISTER_")
    kafka: Kafka = Field(default_factory=Kafka)
    postgres: Postgres = Field(default_factory=Postgres)
    log: Log = Field(default_factory=Log)
    tracing: Tracing = Field(default_factory=Tracing)
    batch_max_records: int = Field(default=2000, ge=1, le=5000)
    """Maximum number of records in one transaction. A backlog drains 10 to 20 % faster with 2,000 than with
    500."""
