"""The gateway's settings. The settings that all services share are in `runtime.settings`."""

from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings

from runtime.access_tokens import TokenList, named_tokens
from runtime.settings import Canary, Debug, Http, Kafka, Log, SitesFile, Tracing, env_name, section
from runtime.sites.model import ORIGIN, SITE_NAME
from services.ingest.mail_events.sendgrid import load_public_key
from services.ingest.mail_events.sns_certificates import TOPIC_ARN

DEFAULT_SITE: Final = "default"


def _validate_site_names(value: str) -> str:
    # A site's name is part of every lead's id and is written to the audit log.
    if not all(SITE_NAME.fullmatch(site) for site in named_tokens(value, DEFAULT_SITE).values()):
        raise ValueError("a site's name must have 1 to 100 letters, digits, dots, dashes or underscores")
    return value


def _validate_origins(value: str) -> str:
    if not all(ORIGIN.fullmatch(origin) for origin in split_origins(value)):
        raise ValueError(
            "must be a comma-separated list of origins such as https://www.example.com, without a path"
        )
    return value


def split_origins(value: str) -> list[str]:
    """Return the origins in a comma-separated list. Blanks and trailing slashes are removed."""
    return [part.strip().rstrip("/") for part in value.split(",") if part.strip()]


def _split(value: str) -> list[str]:
    return [part.strip() for part in value.split(",") if part.strip()]


def _validate_public_keys(value: str) -> str:
    for each in _split(value):
        load_public_key(each)
    return value


def _validate_topic_arns(value: str) -> str:
    if not all(TOPIC_ARN.fullmatch(each) for each in _split(value)):
        raise ValueError("must be ARNs such as arn:aws:sns:eu-central-1:123456789012:bounces, with commas")
    return value


class MailProviders(BaseSettings):
    """What authenticates the events of mail providers. A provider without its setting is refused."""

    model_config = section("FASTCORE_MAIL_EVENTS_")
    sendgrid_public_key: Annotated[str, AfterValidator(_validate_public_keys)] = ""
    """Verification keys of SendGrid's signed event webhook, with commas. Empty: events are refused."""
    ses_topic_arn: Annotated[str, AfterValidator(_validate_topic_arns)] = ""
    """ARNs of the SNS topics to which Amazon SES publishes, with commas. Empty: events are refused."""
    postmark_secret: SecretStr | None = None
    """Secrets that Postmark sends: the password of basic authentication, or a bearer token. Separated by
    commas. Empty: events are refused."""
    mailgun_signing_key: SecretStr | None = None
    """Mailgun's HTTP webhook signing keys, separated by commas. Empty: events are refused."""

    @property
    def sendgrid_public_keys(self) -> list[str]:
        """Return SendGrid's keys."""
        return _split(self.sendgrid_public_key)

    @property
    def ses_topic_arns(self) -> list[str]:
        """Return the SNS topics."""
        return _split(self.ses_topic_arn)

    @property
    def postmark_secrets(self) -> list[str]:
        """Return Postmark's secrets."""
        return _split(self.postmark_secret.get_secret_value()) if self.postmark_secret else []

    @property
    def mailgun_signing_keys(self) -> list[str]:
        """Return Mailgun's keys."""
        return _split(self.mailgun_signing_key.get_secret_value()) if self.mailgun_signing_key else []


class Settings(BaseSettings):
    """The gateway's settings, read from the environment and `.env`."""

    model_config = section("FASTCORE_INGEST_")
    kafka: Kafka = Field(default_factory=Kafka)
    log: Log = Field(default_factory=Log)
    tracing: Tracing = Field(default_factory=Tracing)
    debug: Debug = Field(default_factory=Debug)
    http: Http = Field(default_factory=Http)
    sites_file: SitesFile = Field(default_factory=SitesFile)
    mail_providers: MailProviders = Field(default_factory=MailProviders)
    canary: Canary = Field(default_factory=Canary)
    site_tokens: Annotated[TokenList, AfterValidator(_validate_site_names)] | None = Field(
        default=None,
        validation_alias=env_name("FASTCORE_SITE_INGEST_TOKEN"),
        repr=False,
    )
    """Tokens of the sites that may post leads: a comma-separated list of [site:]token. Required, unless
    FASTCORE_SITES_FILE has the tokens. With both, the tokens of both are valid."""
    cors_origins: Annotated[str, AfterValidator(_validate_origins)] = ""
    """Origins whose pages may post from a browser (CORS). Empty, if the site's server posts the leads."""
    body_deadline_seconds: float = Field(default=10.0, gt=0)
    """How long a request body may take to arrive."""
    publish_budget_seconds: float = Field(default=2.0, gt=0)
    """How long a lead waits for Kafka's acknowledgement before it goes to the spool."""
    min_fill_seconds: float = Field(default=2.0, ge=0)
    """A form that is filled faster than this is spam. 0 disables the check."""
    max_links: int = Field(default=3, ge=0)
    """A message with more links than this is spam."""
    leads_per_ip_per_hour: int = Field(default=30, ge=0)
    """Leads per site, visitor's IP address and hour. More are stored as held. 0 disables the limit."""
    leads_per_email_per_hour: int = Field(default=10, ge=0)
    """Leads per site, email address and hour. More are stored as held. 0 disables the limit."""
    requests_per_token_per_minute: int = Field(default=0, ge=0)
    """Requests per token and minute. More are answered with 429. 0 disables the limit."""
    form_leads_per_site_per_hour: int = Field(default=1000, ge=0)
    """Leads of HTML forms per site and hour. More are stored as held. 0 disables the limit."""
    workers: int = Field(default=1, ge=1, le=64)
    """Processes of the gateway that share its port. A process uses one core: with more cores, set their
    number. All other limits apply to the gateway, not to each process."""
    spool_folder: Path = Path(".fastcore/spool")
    """Folder for leads while Kafka is unavailable. It must outlive the process. Each host needs its own."""
    spool_max_bytes: int = Field(default=256 * 1024 * 1024, ge=1024)
    """Maximum size of the spool on disk; beyond it the gateway answers 503. A lead takes about 1 KB."""
    spool_max_leads: int = Field(default=100_000, ge=1)
    """Maximum number of leads in the spool; beyond it the gateway answers 503."""

    @model_validator(mode="after")
    def _require_sites(self) -> Self:
        if self.site_tokens is None and self.sites_file.path is None:
            raise ValueError(
                "FASTCORE_SITE_INGEST_TOKEN is missing: give a token, or set FASTCORE_SITES_FILE"
            )
        return self

    def sites(self) -> dict[str, str]:
        """Return the name of the site for each token that is set in the environment."""
        return named_tokens(self.site_tokens or "", DEFAULT_SITE)
