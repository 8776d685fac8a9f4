"""The notifier's settings: its mail server, its addresses and its limits."""

from pathlib import Path
from typing import Annotated, Self

from apscheduler.triggers.cron import CronTrigger
from pydantic import AfterValidator, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings

from runtime.mail_address import parse_address
from runtime.mail_login import MailLogin
from runtime.settings import Kafka, Log, Postgres, SitesFile, Tracing, env_name, section
from runtime.sites.dkim import check_domain, check_selector
from runtime.sites.mail import AlertFrequency, TimeZone


def _validate_address(value: str) -> str:
    address = parse_address(value)
    if address is None:
        raise ValueError("is not an email address")
    return address.spec


def _validate_addresses(value: str) -> str:
    parts = [part for part in value.split(",") if part.strip()]
    if not parts:
        raise ValueError("contains no address: give one or more, separated by commas")
    return ",".join(_validate_address(part) for part in parts)


def _normalize_spaces(value: str) -> str:
    # A header parser changes spaces at the ends or in a row, and a changed header stops the mail.
    if not (line := " ".join(value.split())):
        raise ValueError("is empty")
    return line


class _Server(BaseSettings):
    host: str = Field(examples=["smtp.example.com"])
    """The host name of the mail server. Without it `make up` starts a local mailbox."""
    port: int = Field(default=587, ge=1, le=65535)
    """587 for STARTTLS, 465 for implicit TLS."""
    tls: bool = True
    """Require STARTTLS; there is no fallback to plain text. Port 465 always uses implicit TLS."""

    model_config = section("SMTP_")


class Smtp(MailLogin, _Server):
    """The settings of the mail server and of FASTCore's login there."""

    model_config = section("SMTP_")

    @model_validator(mode="after")
    def _check_login(self) -> Self:
        self.check_login()
        return self

    @property
    def implicit_tls(self) -> bool:
        """Return True if the connection starts with TLS."""
        return self.port == 465


class Dkim(BaseSettings):
    """The installation's DKIM key, for a mail server that does not sign itself (docs/email.md)."""

    model_config = section("FASTCORE_DKIM_")
    selector: Annotated[str, AfterValidator(check_selector)] | None = Field(
        default=None, examples=["fastcore1"]
    )
    """The selector of our DKIM key. Not set: FASTCORE signs no mail itself."""
    domain: Annotated[str, AfterValidator(check_domain)] | None = None
    """The domain that signs (d=), for senders of it and of its subdomains. Default: that of FROM_EMAIL."""
    private_key: SecretStr | None = None
    """The private key: PEM in one line with \\n for line breaks. Or set the file."""
    private_key_file: Path | None = Field(default=None, examples=["/etc/fastcore/dkim/fastcore1.pem"])
    """The file with the private key in PEM form. Read at the start."""

    @model_validator(mode="after")
    def _check_key(self) -> Self:
        if self.selector is None:
            if self.private_key or self.private_key_file or self.domain:
                raise ValueError("FASTCORE_DKIM_SELECTOR: set it too: it names the key in DNS")
            return self
        if (self.private_key is None) == (self.private_key_file is None):
            raise ValueError("FASTCORE_DKIM_PRIVATE_KEY and FASTCORE_DKIM_PRIVATE_KEY_FILE: set one of them")
        return self


def _validate_witnesses(value: str) -> str:
    return _validate_addresses(value) if value.strip() else ""


def _crontab(value: str) -> str:
    try:
        CronTrigger.from_crontab(value, timezone="UTC")
    except ValueError as error:
        raise ValueError("must be a cron line of five fields, such as 0 6 * * *") from error
    return value


class Audit(BaseSettings):
    """Who gets the checkpoints of the sealed audit log by email (docs/audit.md)."""

    model_config = section("FASTCORE_AUDIT_")
    witnesses: Annotated[str, AfterValidator(_validate_witnesses)] = Field(
        default="", examples=["witness@example.org"]
    )
    """The recipients of the sealed audit log's checkpoints, separated by commas: people outside who keep them
    (docs/audit.md). Empty: nobody gets them by email."""
    witness_schedule: Annotated[str, AfterValidator(_crontab)] = "0 6 * * *"
    """When they get the newest one, in UTC: minute, hour, day, month, weekday."""

    @property
    def addresses(self) -> tuple[str, ...]:
        """Return the witnesses."""
        return tuple(self.witnesses.split(",")) if self.witnesses else ()


class Settings(BaseSettings):
    """The notifier's settings, read from the environment and `.env`."""

    model_config = section("FASTCORE_NOTIFIER_")
    kafka: Kafka = Field(default_factory=Kafka)
    postgres: Postgres = Field(default_factory=Postgres)
    log: Log = Field(default_factory=Log)
    tracing: Tracing = Field(default_factory=Tracing)
    smtp: Smtp = Field(default_factory=Smtp)
    dkim: Dkim = Field(default_factory=Dkim)
    audit: Audit = Field(default_factory=Audit)
    sites_file: SitesFile = Field(default_factory=SitesFile)
    from_email: Annotated[str, AfterValidator(_validate_address)] = Field(
        validation_alias=env_name("FROM_EMAIL")
    )
    """The sender of all mails and of their envelopes: it gets the bounces. Non-ASCII needs SMTPUTF8."""
    admin_email: Annotated[str, AfterValidator(_validate_addresses)] = Field(
        validation_alias=env_name("ADMIN_EMAIL")
    )
    """The recipients of the alert about a new lead, separated by commas."""
    sender_name: Annotated[str, AfterValidator(_normalize_spaces)] = Field(
        default="FAST Tech Services", pattern=r"^[^\x00-\x1f\x7f<>\"=]{1,80}$"
    )
    """The display name of the sender."""
    admin_url: str = Field(default="", pattern=r"^(https?://[^\s<>\"]+)?$")
    """The URL of the dashboard for the link in the alert: https://example.com/admin. Empty: no link."""
    welcomes_per_day: int = Field(default=3, ge=1)
    """Maximum of welcomes to one mailbox in 24 hours, so that bots cannot make us mail strangers."""
    welcomes_per_site_and_hour: int = Field(default=200, ge=1)
    """Maximum of welcomes to the leads of one site in an hour. Alerts have no limit."""
    alert_frequency: AlertFrequency = "immediate"
    """When the team is notified: `immediate`, or in one list of the new leads, `hourly` or `daily`. Sites may
    choose another: `alert_frequency` in the sites file."""
    alert_hour: int = Field(default=8, ge=0, le=23)
    """The hour of a daily list, in FASTCORE_NOTIFIER_TIMEZONE."""
    timezone: TimeZone = "UTC"
    """The time zone of FASTCORE_NOTIFIER_ALERT_HOUR, such as Europe/Berlin."""
    alert_burst: int = Field(default=20, ge=0)
    """Alerts about one site to the same recipients that are sent one by one within
    FASTCORE_NOTIFIER_ALERT_BURST_SECONDS; more are sent as one list. 0: all are sent one by one."""
    alert_burst_seconds: float = Field(default=600.0, ge=1)
    """The period of FASTCORE_NOTIFIER_ALERT_BURST, and the time for which a list collects leads."""
    connections: int = Field(default=10, ge=1, le=100)
    """Open connections to the mail server, and so concurrent mails. Lower it if the server allows fewer."""
    batch_max_records: int = Field(default=50, ge=1, le=500)
    """Records in a batch. Keep it small: a stop waits for the current batch."""
    mails_per_second: float = Field(default=0.0, ge=0)
    """Maximum rate of each notifier; 0: no maximum. The notifier learns a provider's lower limit itself."""
    envelope_timeout_seconds: float = Field(default=300.0, gt=0)
    """Timeout for connecting and logging in, and for the commands before a mail's body (RFC 5321: minutes).
    A stop does not wait for them."""
    answer_timeout_seconds: float = Field(default=30.0, gt=0)
    """Minimum time to wait for the reply to a mail's body. After it the outcome is unknown."""
    mail_timeout_seconds: float = Field(default=45.0, gt=0)
    """Timeout from the commit before a mail's body to the reply. Less than the lease (drain inequality)."""
    lease_seconds: float = Field(default=50.0, gt=0)
    """Time for which a mail is reserved before another notifier may take it over. Keep it equal to the
    graceful timeout."""
    canary_mailbox: Annotated[str, AfterValidator(_validate_address)] | None = Field(
        default=None, validation_alias=env_name("FASTCORE_CANARY_MAILBOX"), examples=["canary@example.com"]
    )
    """The mailbox that gets the emails of the canary. Not set: the mail server only checks the sender
    and the recipients, and nothing is sent (docs/canary.md)."""

    @model_validator(mode="after")
    def _check_timeouts(self) -> Self:
        if not self.answer_timeout_seconds < self.mail_timeout_seconds < self.lease_seconds:
            raise ValueError(
                "FASTCORE_NOTIFIER_ANSWER_TIMEOUT_SECONDS < FASTCORE_NOTIFIER_MAIL_TIMEOUT_SECONDS"
                " < FASTCORE_NOTIFIER_LEASE_SECONDS must hold"
            )
        return self

    @property
    def admins(self) -> tuple[str, ...]:
        """Return the recipients of the alerts."""
        return tuple(self.admin_email.split(","))
