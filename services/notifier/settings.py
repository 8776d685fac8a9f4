"""What the notifier can be told: its mail server, its addresses and its bounds."""

from typing import Annotated, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings

from runtime.settings import Kafka, Log, Postgres, Tracing, env_name, section
from services.notifier.mail.address import parse_address


def _one_address(value: str) -> str:
    address = parse_address(value)
    if address is None:
        raise ValueError("is not an email address")
    return address.spec


def _addresses(value: str) -> str:
    found = [part for part in value.split(",") if part.strip()]
    if not found:
        raise ValueError("holds no address: give one or more, separated by commas")
    return ",".join(_one_address(part) for part in found)


def _one_line(value: str) -> str:
    # Spaces at an end or in a row do not survive a header, and one that reads back otherwise stops a mail.
    if not (line := " ".join(value.split())):
        raise ValueError("is empty")
    return line


class Smtp(BaseSettings):
    """The mail server."""

    model_config = section("SMTP_")
    host: str = Field(examples=["smtp.example.com"])
    """The mail server. `make up` starts a mailbox of its own where it is not set."""
    port: int = Field(default=587, ge=1, le=65535)
    """587 for STARTTLS, 465 for implicit TLS."""
    user: str | None = None
    """Who logs in; empty: nobody does."""
    password: SecretStr | None = None
    """The password of SMTP_USER."""
    tls: bool = True
    """STARTTLS, which never falls back to plain; port 465 is implicit TLS whatever this says."""

    @model_validator(mode="after")
    def _login_is_whole(self) -> Self:
        if (self.user is None) != (self.password is None):
            raise ValueError("SMTP_USER and SMTP_PASSWORD: give both, or neither for no login")
        return self

    @property
    def implicit_tls(self) -> bool:
        """Return True where TLS begins with the connection."""
        return self.port == 465


class Settings(BaseSettings):
    """The notifier's settings, read from the environment and `.env`."""

    model_config = section("FASTCORE_NOTIFIER_")
    kafka: Kafka = Field(default_factory=Kafka)
    postgres: Postgres = Field(default_factory=Postgres)
    log: Log = Field(default_factory=Log)
    tracing: Tracing = Field(default_factory=Tracing)
    smtp: Smtp = Field(default_factory=Smtp)
    from_email: Annotated[str, AfterValidator(_one_address)] = Field(validation_alias=env_name("FROM_EMAIL"))
    """The sender of all mails, also of the envelope: bounces go there. Not ASCII: it needs SMTPUTF8."""
    admin_email: Annotated[str, AfterValidator(_addresses)] = Field(validation_alias=env_name("ADMIN_EMAIL"))
    """Who is told of a new lead; several are separated by commas."""
    sender_name: Annotated[str, AfterValidator(_one_line)] = Field(
        default="FAST Tech Services", pattern=r"^[^\x00-\x1f\x7f<>\"=]{1,80}$"
    )
    """Who the mails say they are from."""
    admin_url: str = Field(default="", pattern=r"^(https?://[^\s<>\"]+)?$")
    """Where the dashboard is, for the link in the alert: https://example.com/admin. Empty: no link."""
    welcomes_per_day: int = Field(default=3, ge=1)
    """Welcomes to one mailbox in 24 hours; more are suppressed, or bots would use us to mail strangers."""
    welcomes_per_site_and_hour: int = Field(default=200, ge=1)
    """Welcomes to the leads that one site sends in an hour; more are suppressed. Alerts have no limit."""
    connections: int = Field(default=10, ge=1, le=100)
    """Connections to the mail server kept open, and so the mails sent at once: fewer, if it allows fewer."""
    batch_max_records: int = Field(default=50, ge=1, le=500)
    """Records taken at once: few, for a batch in hand is what a stop has to wait for."""
    mails_per_second: float = Field(default=0.0, ge=0)
    """Mails a second that each notifier starts at most; 0: no ceiling. It learns a provider's lower limit."""
    envelope_timeout_seconds: float = Field(default=300.0, gt=0)
    """How long connecting and logging in, or what comes before a mail's body, may take (RFC 5321: minutes).
    A stop does not wait for it."""
    answer_timeout_seconds: float = Field(default=30.0, gt=0)
    """How long to wait at least for the answer to a mail's body; then the mail is unknown."""
    mail_timeout_seconds: float = Field(default=45.0, gt=0)
    """How long a mail may take from its body to the answer. Below the lease (the drain inequality)."""
    lease_seconds: float = Field(default=50.0, gt=0)
    """How long a mail is ours before another notifier may take it over. The graceful timeout."""

    @model_validator(mode="after")
    def _times_fit(self) -> Self:
        if not self.answer_timeout_seconds < self.mail_timeout_seconds < self.lease_seconds:
            raise ValueError(
                "FASTCORE_NOTIFIER_ANSWER_TIMEOUT_SECONDS < FASTCORE_NOTIFIER_MAIL_TIMEOUT_SECONDS"
                " < FASTCORE_NOTIFIER_LEASE_SECONDS must hold"
            )
        return self

    @property
    def admins(self) -> tuple[str, ...]:
        """Return the addresses that are told of a new lead."""
        return tuple(self.admin_email.split(","))
