"""What the notifier can be told: its mail server, its addresses and its bounds."""

from typing import Annotated, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings

from runtime.settings import Kafka, Log, Postgres, named, section
from services.notifier.address import parse_address


def _one_address(value: str) -> str:
    address = parse_address(value)
    if address is None:
        raise ValueError("is not an email address")
    return address.spec


def _sender(value: str) -> str:
    address = _one_address(value)
    if not address.isascii():
        raise ValueError("must be ASCII before the @, or servers without SMTPUTF8 take no mail of ours")
    return address


def _addresses(value: str) -> str:
    found = [part for part in value.split(",") if part.strip()]
    if not found:
        raise ValueError("holds no address: give one or more, separated by commas")
    return ",".join(_one_address(part) for part in found)


class Smtp(BaseSettings):
    """The mail server."""

    model_config = section("SMTP_")
    host: str
    port: int = Field(default=587, ge=1, le=65535)
    # Empty: no login.
    user: str | None = None
    password: SecretStr | None = None
    # STARTTLS, which never falls back to plain; port 465 is implicit TLS whatever this says.
    tls: bool = True

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
    smtp: Smtp = Field(default_factory=Smtp)
    # The sender of all mails, also of the envelope: bounces go there.
    from_email: Annotated[str, AfterValidator(_sender)] = Field(validation_alias=named("FROM_EMAIL"))
    # Who is told of a new lead; several are separated by commas.
    admin_email: Annotated[str, AfterValidator(_addresses)] = Field(validation_alias=named("ADMIN_EMAIL"))
    # Who the mails say they are from.
    sender_name: str = Field(default="FAST Tech Services", pattern=r"^[^\x00-\x1f\x7f<>\"=]{1,80}$")
    # Where the dashboard is, for the link in the alert: https://example.com/admin. Empty: no link.
    admin_url: str = Field(default="", pattern=r"^(https?://[^\s<>\"]+)?$")
    # Welcomes to one address in 24 hours; more are suppressed, or bots would use us to mail strangers.
    welcomes_per_day: int = Field(default=3, ge=1)
    # Connections to the mail server kept open, and so the mails sent at once.
    connections: int = Field(default=4, ge=1, le=100)
    # Records taken at once: few, for a batch in hand is what a stop has to wait for.
    batch_max_records: int = Field(default=20, ge=1, le=500)
    # The drain inequality (ARCHITECTURE.md): answer < mail < lease = graceful timeout.
    answer_timeout_seconds: float = Field(default=30.0, gt=0)
    mail_timeout_seconds: float = Field(default=45.0, gt=0)
    lease_seconds: float = Field(default=50.0, gt=0)

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
