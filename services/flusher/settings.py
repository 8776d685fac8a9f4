"""The settings of the flusher. The settings that all services share are in `runtime.settings`."""

import ipaddress
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final, Self
from urllib.parse import urlsplit

from apscheduler.triggers.cron import CronTrigger
from pydantic import AfterValidator, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings

from runtime.access_tokens import named_tokens, refuse_weak_tokens
from runtime.mail_login import MailLogin
from runtime.private_names import is_private_name
from runtime.settings import Canary, Debug, Kafka, Log, Postgres, SitesFile, Tracing, env_name, section
from runtime.sites.file import environment, load_sites
from runtime.sites.model import MAX_RETENTION_DAYS
from runtime.transparency_log.signed_note import KeyFormatError, SigningKey, VerificationKey

DEFAULT_SITE: Final = "default"
_SITE_URL: Final = re.compile(r"(?:([A-Za-z0-9._-]{1,100}):)?(https?://[^/?#\s]+[^?#\s]*)")


@dataclass(frozen=True)
class Site:
    """A website that has its own queue of leads. The repr omits the tokens."""

    name: str
    queue_url: str
    queue_token: str = field(repr=False)
    ingest_token: str = field(repr=False)


def is_exposed(url: str) -> bool:
    """Return True if requests to this URL send tokens and leads unencrypted over a public network."""
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")
    if parts.scheme != "http":
        return False
    try:
        return not ipaddress.ip_address(host).is_private
    except ValueError:
        return not is_private_name(host)


def _crontab(value: str) -> str:
    try:
        CronTrigger.from_crontab(value, timezone="UTC")
    except ValueError as error:
        raise ValueError("must be a cron line of five fields, such as */5 * * * *") from error
    return value


def _base_url(value: str) -> str:
    if value and not re.fullmatch(r"https?://[^/?#\s]+[^?#\s]*", value):
        raise ValueError("must be a URL such as https://leads.example.com, without a query")
    return value


def _site_urls(value: str) -> str:
    if not all(_SITE_URL.fullmatch(part) for part in _split(value)):
        raise ValueError("must be a comma-separated list of [site:]https://... URLs, without a query")
    return value


def _split(value: str) -> list[str]:
    return [part.strip() for part in value.split(",") if part.strip()]


class SmtpLogin(MailLogin):
    """The notifier's login at the mail server. Used only with FASTCORE_BOUNCE_MAILBOX_LOGIN_AS_SMTP."""

    model_config = section("SMTP_")


class _Mailbox(BaseSettings):
    model_config = section("FASTCORE_BOUNCE_MAILBOX_")
    host: str = Field(default="", examples=["imap.example.com"])
    """The IMAP server of the mailbox with the reports of bounces. Empty: no mailbox is read."""
    port: int = Field(default=993, ge=1, le=65535)
    """993 for implicit TLS. Any other port requires STARTTLS; there is no fallback to plain text."""
    folder: str = Field(default="INBOX", pattern=r"^[^\x00-\x1f\x7f]{1,200}$")
    """The folder to read."""
    done_folder: str = Field(default="", pattern=r"^[^\x00-\x1f\x7f]{0,200}$")
    """The folder to which reports are moved after they were read. Empty: they are deleted."""
    login_as_smtp: bool = False
    """Log in as the notifier does at the mail server: with SMTP_USER, and SMTP_PASSWORD or SMTP_OAUTH_*. Only
    FASTCORE_BOUNCE_MAILBOX_OAUTH_SCOPE may differ."""


class BounceMailbox(MailLogin, _Mailbox):
    """The mailbox that gets the reports of emails that came back: that of FROM_EMAIL."""

    model_config = section("FASTCORE_BOUNCE_MAILBOX_")

    @model_validator(mode="after")
    def _check_login(self) -> Self:
        if self.host and self.login_as_smtp:
            if self.user or self.password or self.oauth_flow:
                raise ValueError(
                    "FASTCORE_BOUNCE_MAILBOX_LOGIN_AS_SMTP: give no FASTCORE_BOUNCE_MAILBOX_USER, _PASSWORD"
                    " or _OAUTH_FLOW with it"
                )
        elif self.host:
            if not self.oauth_flow and not (self.user and self.password):
                raise ValueError(
                    "FASTCORE_BOUNCE_MAILBOX_USER and FASTCORE_BOUNCE_MAILBOX_PASSWORD are missing: give"
                    " both, or FASTCORE_BOUNCE_MAILBOX_LOGIN_AS_SMTP=true, or"
                    " FASTCORE_BOUNCE_MAILBOX_OAUTH_FLOW"
                )
            self.check_login()
        return self


class Audit(BaseSettings):
    """The seal of the audit log (docs/audit.md)."""

    model_config = section("FASTCORE_AUDIT_")
    signing_key: SecretStr | None = None
    """The key that signs the audit log (docs/audit.md). Not set, nor its file: the log is not sealed."""
    signing_key_file: Path | None = Field(default=None, examples=["/etc/fastcore/audit/key"])
    """The file with the key. Read at the start. While a key is replaced: both keys, a line each."""
    checkpoint_file: Path | None = Field(default=None, examples=["/var/lib/fastcore/audit/checkpoint"])
    """The file to which the newest checkpoint is written, on another disk than the database's: it reveals
    that the database was restored to an earlier state."""
    former_public_keys: str = ""
    """The public keys that signed the log before: a comma-separated list. The daily check needs them."""

    @model_validator(mode="after")
    def _check_keys(self) -> Self:
        if self.signing_key and self.signing_key_file:
            raise ValueError(
                "FASTCORE_AUDIT_SIGNING_KEY and FASTCORE_AUDIT_SIGNING_KEY_FILE: set one of them"
            )
        keys = self.keys()
        self.former_keys()
        if self.checkpoint_file and not keys:
            raise ValueError("FASTCORE_AUDIT_SIGNING_KEY is missing: FASTCORE_AUDIT_CHECKPOINT_FILE needs it")
        return self

    def keys(self) -> list[SigningKey]:
        """Return the keys, all with the same name. Raises `ValueError`, without the text of a key."""
        if self.signing_key_file:
            variable = "FASTCORE_AUDIT_SIGNING_KEY_FILE"
            try:
                text = self.signing_key_file.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError):
                raise ValueError(f"{variable}: the file cannot be read") from None
        else:
            variable = "FASTCORE_AUDIT_SIGNING_KEY"
            text = self.signing_key.get_secret_value() if self.signing_key else ""
            if not text:
                return []
        try:
            keys = [SigningKey.parse(each) for each in re.split(r"[\s,]+", text.strip())]
        except KeyFormatError as error:
            raise ValueError(f"{variable}: {error}. Make one: python -m deploy.cli.audit key NAME") from None
        if len({key.name for key in keys}) > 1:
            raise ValueError(f"{variable}: the keys have different names: give all the name of the log")
        return keys

    def former_keys(self) -> list[VerificationKey]:
        """Return the keys that signed the log before. Raises `ValueError`."""
        try:
            return [VerificationKey.parse(each) for each in _split(self.former_public_keys)]
        except KeyFormatError as error:
            raise ValueError(f"FASTCORE_AUDIT_FORMER_PUBLIC_KEYS: {error}") from None


class CanaryJobSettings(Canary):
    """How the canary is sent (docs/canary.md)."""

    model_config = section("FASTCORE_CANARY_")
    gateway_url: Annotated[str, AfterValidator(_base_url)] = ""
    """The public URL of the gateway, through which visitors' forms go: the canary is posted there. Empty:
    FASTCORE_FLUSHER_GATEWAY_URL."""
    cron: Annotated[str, AfterValidator(_crontab)] = "*/3 * * * *"
    """When a canary is sent to each site, in UTC: minute, hour, day, month, weekday. A hop that fails is
    named after two of them."""


class Settings(BaseSettings):
    """The flusher's settings, read from the environment and `.env`."""

    model_config = section("FASTCORE_FLUSHER_")
    debug: Debug = Field(default_factory=Debug)
    kafka: Kafka = Field(default_factory=Kafka)
    postgres: Postgres = Field(default_factory=Postgres)
    log: Log = Field(default_factory=Log)
    tracing: Tracing = Field(default_factory=Tracing)
    sites_file: SitesFile = Field(default_factory=SitesFile)
    bounce_mailbox: BounceMailbox = Field(default_factory=BounceMailbox)
    audit: Audit = Field(default_factory=Audit)
    canary: CanaryJobSettings = Field(default_factory=CanaryJobSettings)
    smtp_login: SmtpLogin = Field(default_factory=SmtpLogin)
    cron: Annotated[str, AfterValidator(_crontab)] = "*/5 * * * *"
    """When due rows are sent again, in UTC: minute, hour, day, month, weekday (by name: mon)."""
    retention_days: int | None = Field(default=None, ge=1, le=MAX_RETENTION_DAYS)
    """Age in days at which a lead's personal data is erased, by a daily job. Not set: never. A site's own
    `retention_days` in FASTCORE_SITES_FILE overrides it."""
    gateway_url: str = ""
    """The gateway to which websites' queued leads are posted. Required with FASTCORE_SITE_QUEUE_URL."""
    site_queue_url: Annotated[str, AfterValidator(_site_urls)] = Field(
        default="", validation_alias=env_name("FASTCORE_SITE_QUEUE_URL")
    )
    """The websites' own queues: a comma-separated list of `[site:]url`; http only to private names."""
    site_queue_token: str = Field(
        default="", validation_alias=env_name("FASTCORE_SITE_QUEUE_TOKEN"), repr=False
    )
    """The token of each queue: a comma-separated list of `[site:]token`."""
    site_ingest_token: str = Field(
        default="", validation_alias=env_name("FASTCORE_SITE_INGEST_TOKEN"), repr=False
    )
    """The gateway's tokens. A website's queued leads are posted under its own token. A site without a token
    here needs a token `env:NAME` in FASTCORE_SITES_FILE, and that variable."""

    @model_validator(mode="after")
    def _check_mailbox(self) -> Self:
        if self.bounce_mailbox.host and self.bounce_mailbox.login_as_smtp:
            if not self.smtp_login.user:
                raise ValueError("SMTP_USER is missing: FASTCORE_BOUNCE_MAILBOX_LOGIN_AS_SMTP needs it")
            self.mailbox_login().check_login()
        return self

    @model_validator(mode="after")
    def _check_canary(self) -> Self:
        if self.canary.secret and not (self.canary.gateway_url or self.gateway_url):
            raise ValueError(
                "FASTCORE_CANARY_GATEWAY_URL is missing: FASTCORE_CANARY_SECRET sends the canary there"
            )
        return self

    @model_validator(mode="after")
    def _check_sites(self) -> Self:
        if self.site_queue_url and not self.gateway_url:
            raise ValueError("FASTCORE_FLUSHER_GATEWAY_URL is missing: set the gateway's URL")
        self.sites()
        return self

    def mailbox_login(self) -> MailLogin:
        """Return the login at the mailbox with reports of bounces."""
        if not self.bounce_mailbox.login_as_smtp:
            return self.bounce_mailbox
        scope = self.bounce_mailbox.oauth_scope or self.smtp_login.oauth_scope
        return self.smtp_login.model_copy(update={"oauth_scope": scope})

    def refuse_weak(self) -> None:
        """Exit if a token is weak, or if a URL would send a token unencrypted over a public network."""
        sites = self.sites()
        refuse_weak_tokens("FASTCORE_SITE_QUEUE_TOKEN", [site.queue_token for site in sites])
        refuse_weak_tokens("FASTCORE_SITE_INGEST_TOKEN", [site.ingest_token for site in sites])
        urls = [("FASTCORE_SITE_QUEUE_URL", site.queue_url) for site in sites]
        urls.append(("FASTCORE_FLUSHER_GATEWAY_URL", self.gateway_url))
        for variable, url in urls:
            if is_exposed(url):
                sys.exit(
                    f"{variable}: {url} would carry tokens and leads unencrypted over a public network. "
                    "Use https (http is for this machine, private addresses and private names; "
                    "DEBUG=true permits it)"
                )

    def sites(self) -> list[Site]:
        """Return the websites that have a queue, each with its first queue token and its first ingest token.

        Raises `ValueError` for invalid settings.
        """
        queue_tokens = _by_site(self.site_queue_token)
        ingest_tokens = self.ingest_tokens()
        sites: list[Site] = []
        for part in _split(self.site_queue_url):
            found = _SITE_URL.fullmatch(part)
            name, url = (found[1] or DEFAULT_SITE, found[2]) if found else (DEFAULT_SITE, part)
            if any(each.name == name for each in sites):
                raise ValueError(
                    f"FASTCORE_SITE_QUEUE_URL names the site {name} twice: give each queue its own site name"
                )
            for variable, tokens in (
                ("FASTCORE_SITE_QUEUE_TOKEN", queue_tokens),
                ("FASTCORE_SITE_INGEST_TOKEN", ingest_tokens),
            ):
                if name not in tokens:
                    raise ValueError(
                        f"{variable} has no token for the site {name}, which has a queue: add one"
                    )
            sites.append(Site(name, url, queue_tokens[name], ingest_tokens[name]))
        return sites

    def ingest_tokens(self) -> dict[str, str]:
        """Return the first ingest token of each site that this process knows, by site name."""
        return self._tokens_in_file() | _by_site(self.site_ingest_token)

    def _tokens_in_file(self) -> dict[str, str]:
        """Return the first usable ingest token of each site in the sites file, by site name.

        A token can be used if its variable is set in this process. A token of which the file has only the
        digest cannot.
        """
        variables, found = environment(), dict[str, str]()
        for name, site in load_sites(self.sites_file.path).by_name.items():
            for reference in site.tokens:
                if token := variables.get(reference.removeprefix("env:"), "").strip():
                    found.setdefault(name, token)
        return found


def _by_site(value: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for token, site in named_tokens(value, DEFAULT_SITE).items():
        found.setdefault(site, token)
    return found
