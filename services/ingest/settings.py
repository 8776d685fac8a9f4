"""What the gateway can be told. Sections that every service has come from runtime."""

import re
from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator, Field
from pydantic_settings import BaseSettings

from runtime.settings import Debug, Http, Kafka, Log, TokenList, Tracing, env_name, named_tokens, section

DEFAULT_SITE: Final = "default"
_SITE: Final = re.compile(r"[A-Za-z0-9._-]{1,100}")
_ORIGIN: Final = re.compile(r"https?://[A-Za-z0-9.\-\[\]:]+")


def _site_names(value: str) -> str:
    # A site's name is part of every lead's id and stands in the audit log.
    if not all(_SITE.fullmatch(site) for site in named_tokens(value, DEFAULT_SITE).values()):
        raise ValueError("a site's name is 1 to 100 letters, digits, dots, dashes or underscores")
    return value


def _origins(value: str) -> str:
    if not all(_ORIGIN.fullmatch(origin) for origin in split(value)):
        raise ValueError(
            "is a comma-separated list of origins such as https://www.example.com, without a path"
        )
    return value


def split(value: str) -> list[str]:
    """Split a comma-separated list; blanks and slashes at the end do not count."""
    return [part.strip().rstrip("/") for part in value.split(",") if part.strip()]


class Settings(BaseSettings):
    """The gateway's settings, read from the environment and `.env`."""

    model_config = section("FASTCORE_INGEST_")
    kafka: Kafka = Field(default_factory=Kafka)
    log: Log = Field(default_factory=Log)
    tracing: Tracing = Field(default_factory=Tracing)
    debug: Debug = Field(default_factory=Debug)
    http: Http = Field(default_factory=Http)
    site_tokens: Annotated[TokenList, AfterValidator(_site_names)] = Field(
        validation_alias=env_name("FASTCORE_SITE_INGEST_TOKEN"), repr=False
    )
    """Who may post leads: a comma-separated list of [site:]token; tokens rotate, sites are told apart."""
    cors_origins: Annotated[str, AfterValidator(_origins)] = ""
    """Origins whose pages may post from a browser; none where the site's server posts and keeps its token."""
    body_deadline_seconds: float = Field(default=10.0, gt=0)
    """How long a body may take to arrive: a slow one holds a connection."""
    publish_budget_seconds: float = Field(default=2.0, gt=0)
    """How long a lead waits for Kafka's acknowledgement."""
    min_fill_seconds: float = Field(default=2.0, ge=0)
    """A form filled faster than this was filled by a program. 0 switches it off."""
    max_links: int = Field(default=3, ge=0)
    """More links than this in a message look like spam."""
    leads_per_ip_per_hour: int = Field(default=30, ge=0)
    """Leads per visitor's address in an hour; those beyond are kept as spam. 0 switches it off."""
    leads_per_email_per_hour: int = Field(default=10, ge=0)
    """Leads per email in an hour; those beyond are kept as spam. 0 switches it off."""
    requests_per_token_per_minute: int = Field(default=0, ge=0)
    """Requests per token in a minute; those beyond get 429. 0, the default, switches it off."""
    spool_folder: Path = Path(".fastcore/spool")
    """Where leads wait while Kafka is away: a disk of this gateway's own that outlives its process."""
    spool_max_bytes: int = Field(default=256 * 1024 * 1024, ge=1024)
    """Disk that the spool takes at most; beyond it the gateway answers 503. A lead takes about 1 KB."""
    spool_max_leads: int = Field(default=100_000, ge=1)
    """Leads that the spool takes at most; beyond them the gateway answers 503."""

    def sites(self) -> dict[str, str]:
        """Return token -> site."""
        return named_tokens(self.site_tokens, DEFAULT_SITE)
