"""Settings sections that services compose, and how a wrong one is reported. No service's own fields."""

import ssl
import sys
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import certifi
from aiokafka.helpers import create_ssl_context
from faststream.security import (
    BaseSecurity,
    SASLPlaintext,
    SASLScram256,
    SASLScram512,
)
from pydantic import (
    AfterValidator,
    AliasChoices,
    Field,
    FilePath,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, SettingsConfigDict

S = TypeVar("S", bound=BaseSettings)

EXAMPLE_TOKENS = frozenset({"dev-token-xyz-123", "dev-admin-token-xyz-123", "dev-queue-token-xyz-123"})
TOKEN_MIN_LENGTH = 24
# Different pairs of neighbouring characters. 24 random digits have 20 of them; "a" 24 times has 1, and
# "changeme" three times has 8.
TOKEN_MIN_PAIRS = 16


def section(prefix: str = "") -> SettingsConfigDict:
    """Read the environment, then `.env`; names of others' settings are not ours to judge."""
    return SettingsConfigDict(
        env_prefix=prefix,
        env_file=".env",
        extra="ignore",
        env_ignore_empty=True,
        frozen=True,
        populate_by_name=True,
        use_attribute_docstrings=True,  # what stands under a field is its comment in .env.example
    )


def env_name(name: str) -> Any:
    """Alias a field to an environment name that stands as it is, without a prefix."""
    return AliasChoices(name)


def variable_name(settings: type[BaseSettings], name: str, field: FieldInfo) -> str:
    """Return the environment variable that sets a field: its alias, else the class's prefix and its name."""
    alias = field.validation_alias
    if alias is not None:
        return str(getattr(alias, "choices", [alias])[0])
    return f"{settings.model_config.get('env_prefix', '')}{name}".upper()


def is_section(field: FieldInfo) -> bool:
    """Return True for a field that is a settings class of its own, not a value."""
    return isinstance(field.annotation, type) and issubclass(field.annotation, BaseSettings)


class Debug(BaseSettings):
    """A developer's machine or production."""

    model_config = section()
    on: bool = Field(default=False, validation_alias=env_name("DEBUG"))
    """true permits example tokens, one database role and cookies over plain HTTP. Never in production."""


class Log(BaseSettings):
    """What is logged: JSON lines on standard output."""

    model_config = section("FASTCORE_LOG_")
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", validation_alias=env_name("LOG_LEVEL")
    )
    """DEBUG, INFO, WARNING or ERROR. Drivers are capped at INFO: below it they print personal data."""


class Tracing(BaseSettings):
    """Where traces go."""

    model_config = section("OTEL_")
    exporter_otlp_endpoint: str | None = Field(
        default=None, pattern=r"^https?://", examples=["http://127.0.0.1:4318"]
    )
    """A collector of traces that takes OTLP over HTTP; not set: no traces. The SDK's other variables hold."""


class Kafka(BaseSettings):
    """How to reach Kafka. SASL and TLS as managed services ask for them."""

    model_config = section("KAFKA_")
    bootstrap_servers: str = Field(examples=["127.0.0.1:19092"])
    """Brokers to ask first: host:port, separated by commas. `make up` starts its own where it is not set."""
    topic_prefix: str = ""
    """For a shared cluster: put before every topic and group name."""
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL."""
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    """PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512, where the protocol is a SASL one."""
    sasl_username: str | None = None
    """The SASL user."""
    sasl_password: SecretStr | None = None
    """Its password."""
    ssl_ca_file: FilePath | None = None
    """A PEM file with the authority that signed the brokers' certificates, where it is not a public one."""

    @model_validator(mode="after")
    def _fits_the_protocol(self) -> Self:
        login = self.sasl_username and self.sasl_password
        if self.security_protocol.startswith("SASL") and not login:
            raise ValueError(
                f"KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD: {self.security_protocol} needs both"
            )
        try:
            self.ssl_context()
        except ssl.SSLError as error:
            raise ValueError("KAFKA_SSL_CA_FILE: holds no certificate in PEM form") from error
        return self

    def ssl_context(self) -> ssl.SSLContext | None:
        """Return a verifying context for the TLS protocols, with our CA file where one is given."""
        if "SSL" not in self.security_protocol:
            return None
        context: ssl.SSLContext = create_ssl_context(cafile=self.ssl_ca_file)
        return context

    def security(self) -> BaseSecurity | None:
        """Return FastStream's description of the same."""
        context = self.ssl_context()
        if not self.security_protocol.startswith("SASL"):
            return BaseSecurity(ssl_context=context, use_ssl=True) if context else None
        kind = {
            "PLAIN": SASLPlaintext,
            "SCRAM-SHA-256": SASLScram256,
            "SCRAM-SHA-512": SASLScram512,
        }[self.sasl_mechanism]
        return kind(
            username=self.sasl_username or "",
            password=self.sasl_password.get_secret_value() if self.sasl_password else "",
            ssl_context=context,
            use_ssl=context is not None,
        )


def _understood(secret: SecretStr) -> SecretStr:
    """Check a database's URL as far as nothing has to be connected for it; no message holds any of it."""
    parts = urlsplit(secret.get_secret_value())
    if parts.scheme not in {"postgres", "postgresql"}:
        raise ValueError("must begin with postgresql:// or postgres://")
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    if query.get("channel_binding") == "require" and query.get("sslmode") != "verify-full":
        # The driver has no channel binding, and to leave it out would be to trust whoever answers.
        raise ValueError(
            "channel_binding=require is not supported: replace sslmode and it by"
            " sslmode=verify-full&sslrootcert=system, which checks the server's certificate"
        )
    given = dict(query)
    query.pop("channel_binding", None)
    if query.get("sslrootcert") == "system":  # libpq's word for the authorities of the system
        query["sslrootcert"] = ssl.get_default_verify_paths().cafile or certifi.where()
    if (authority := query.get("sslrootcert")) and not Path(authority).is_file():
        raise ValueError(f"sslrootcert={authority} is not a file")
    return secret if query == given else SecretStr(urlunsplit(parts._replace(query=urlencode(query))))


DatabaseUrl = Annotated[SecretStr, AfterValidator(_understood)]


class Postgres(BaseSettings):
    """How to reach PostgreSQL as the services' role. Every wait is bounded, in seconds."""

    model_config = section("FASTCORE_POSTGRES_")
    url: DatabaseUrl = Field(
        validation_alias=env_name("DATABASE_URL"),
        examples=["postgresql://fastcore:password@127.0.0.1:5432/fastcore"],
    )
    """The services' role, which cannot alter the audit log. Of several hosts the writable one is taken."""
    pool_max: int = Field(default=5, ge=4)
    """Connections that one process holds at most. At least 4: a job holds one while others work."""
    connect_timeout_seconds: float = Field(default=5.0, gt=0)
    """How long to wait for a connection before the database counts as away; several hosts share it."""
    command_timeout_seconds: float = Field(default=20.0, gt=0)
    """How long to wait for one statement before the database counts as away."""


class Http(BaseSettings):
    """Where a service listens, and how long its drain may take."""

    model_config = section("FASTCORE_HTTP_")
    host: str = "127.0.0.1"
    """The address to listen on."""
    port: int | None = Field(default=None, ge=1, le=65535)
    """The port; 8001 to 8005 by default: ingest, persister, notifier, flusher, admin."""
    graceful_timeout_seconds: int = Field(default=50, ge=1)
    """How long SIGTERM waits for open requests. Below the container's stop grace of 60 s."""
    head_timeout_seconds: float = Field(default=10.0, gt=0)
    """How long a request's head may take to arrive: a slow one holds a connection."""
    allowed_hosts: str = Field(default="", examples=["leads.example.com,*.internal.example.com"])
    """Names that requests may be for. Empty: every name; with DEBUG=true only localhost, IP addresses and
    names without a dot, so that no website reaches the example tokens under a name of its own."""


def _split_tokens(value: str) -> str:
    if not any(part.strip() for part in value.split(",")):
        msg = "holds no token: give one or more, separated by commas"
        raise ValueError(msg)
    return value


TokenList = Annotated[str, AfterValidator(_split_tokens)]


def named_tokens(value: str, default_name: str) -> dict[str, str]:
    """Split `[name:]token,...` into token -> name."""
    pairs: dict[str, str] = {}
    for part in value.split(","):
        name, colon, token = part.strip().rpartition(":")
        if token:
            pairs[token] = name if colon and name else default_name
    return pairs


def is_weak_token(token: str) -> bool:
    """Return True for a token that is an example, short, or repeats itself: it does not resist guessing."""
    pairs = {token[start : start + 2] for start in range(len(token) - 1)}
    return token in EXAMPLE_TOKENS or len(token) < TOKEN_MIN_LENGTH or len(pairs) < TOKEN_MIN_PAIRS


def refuse_weak_tokens(variable: str, tokens: list[str]) -> None:
    """Exit where a production token does not resist guessing."""
    for token in tokens:
        if is_weak_token(token):
            sys.exit(
                f"{variable}: a token is an example, shorter than {TOKEN_MIN_LENGTH} characters or repeats"
                " itself. "
                'Make one with: python3 -c "import secrets; print(secrets.token_urlsafe(32))" '
                "(DEBUG=true permits it on a developer's machine)"
            )


def load(settings: type[S]) -> S:
    """Read settings, or exit with one line that names the variable and what is wrong with it."""
    try:
        return settings()
    except ValidationError as error:
        problems = "; ".join(
            f"{_variable(error, item['loc'])}: {item['msg'].removeprefix('Value error, ')}"
            for item in error.errors(include_input=False, include_url=False)
        )
        sys.exit(f"wrong settings: {problems} (see .env.example)")


def _variable(error: ValidationError, loc: tuple[int | str, ...]) -> str:
    name = str(loc[0]) if loc else error.title
    for cls in _subclasses(BaseSettings):
        if cls.__name__ == error.title and name in cls.model_fields:
            return f"{cls.model_config.get('env_prefix', '')}{name}".upper()
    return name.upper()


def _subclasses(cls: type[BaseSettings]) -> list[type[BaseSettings]]:
    return [c for sub in cls.__subclasses__() for c in (sub, *_subclasses(sub))]
