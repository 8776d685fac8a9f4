"""Settings sections that several services compose, and the report of an invalid setting."""

import os
import re
import ssl
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar, cast
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import certifi
from aiokafka.helpers import create_ssl_context
from dotenv import dotenv_values
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
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, SettingsConfigDict

S = TypeVar("S", bound=BaseSettings)

_PORT = re.compile(r"[a-z]+=[1-9][0-9]{0,4}")
_PORT_MAX = 65535


def section(prefix: str = "") -> SettingsConfigDict:
    """Return a section's pydantic configuration: it reads the environment, then `.env`."""
    return SettingsConfigDict(
        env_prefix=prefix,
        env_file=".env",
        extra="ignore",
        env_ignore_empty=True,
        frozen=True,
        populate_by_name=True,
        use_attribute_docstrings=True,  # the docstring of a field is its comment in .env.example
    )


def env_name(name: str) -> Any:
    """Return a pydantic alias: the exact name of the environment variable of a field.

    The prefix of the settings section is not put before this name.
    """
    return AliasChoices(name)


def variable_name(settings: type[BaseSettings], name: str, field: FieldInfo) -> str:
    """Return the name of the environment variable that sets a field.

    The name is the field's alias. For a field without an alias, it is the prefix of the class followed by the
    field's name.
    """
    alias = field.validation_alias
    if alias is not None:
        return str(getattr(alias, "choices", [alias])[0])
    return f"{settings.model_config.get('env_prefix', '')}{name}".upper()


def is_section(field: FieldInfo) -> bool:
    """Return True if a field is a settings section, not a value."""
    return isinstance(field.annotation, type) and issubclass(field.annotation, BaseSettings)


class Debug(BaseSettings):
    """Says whether the process runs in development or in production."""

    model_config = section()
    on: bool = Field(default=False, validation_alias=env_name("DEBUG"))
    """true allows example tokens, a single database role and cookies over plain HTTP. Never in production."""


class Log(BaseSettings):
    """The settings of the logs, which are JSON lines on standard output."""

    model_config = section("FASTCORE_LOG_")
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", validation_alias=env_name("LOG_LEVEL")
    )
    """DEBUG, INFO, WARNING or ERROR. Drivers log at INFO or above: at DEBUG they log personal data."""


class Canary(BaseSettings):
    """The secret that marks the canary (docs/canary.md). Without it, nothing is a canary."""

    model_config = section("FASTCORE_CANARY_")
    secret: SecretStr | None = Field(default=None, min_length=32)
    """Signs the mark of the canary, in the gateway and the flusher: the same random text of at least 32
    characters in both. Not set: no canary is sent (docs/canary.md)."""

    @property
    def key(self) -> bytes:
        """Return the secret, or no bytes if it is not set."""
        return self.secret.get_secret_value().encode() if self.secret else b""


class Tracing(BaseSettings):
    """The settings for the export of traces."""

    model_config = section("OTEL_")
    exporter_otlp_endpoint: str | None = Field(
        default=None, pattern=r"^https?://", examples=["http://127.0.0.1:4318"]
    )
    """URL of an OTLP/HTTP collector. Not set: no traces. OpenTelemetry's other variables apply too."""


class SitesFile(BaseSettings):
    """The file that configures the sites."""

    model_config = section("FASTCORE_")
    path: Path | None = Field(
        default=None,
        validation_alias=env_name("FASTCORE_SITES_FILE"),
        examples=["/etc/fastcore/sites/sites.toml"],
    )
    """TOML file with the settings of each site (docs/sites.md). Not set: one site per token."""


class Kafka(BaseSettings):
    """Connection to Kafka, with the SASL and TLS options that managed services require."""

    model_config = section("KAFKA_")
    bootstrap_servers: str = Field(examples=["127.0.0.1:19092"])
    """Bootstrap servers: host:port, separated by commas. Not set: `make up` starts its own broker."""
    topic_prefix: str = ""
    """Prefix of every topic and group name, for a shared cluster."""
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL."""
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    """PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512. Used only with a SASL protocol."""
    sasl_username: str | None = None
    """The SASL user."""
    sasl_password: SecretStr | None = None
    """The SASL password."""
    ssl_ca_file: FilePath | None = None
    """PEM file with the CA of the brokers' certificates. Not set: the public CAs."""

    @model_validator(mode="after")
    def _check_protocol(self) -> Self:
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
        """Return an SSL context that verifies the broker, or None if the protocol does not use TLS.

        The context trusts the authorities in `ssl_ca_file` if it is set.
        """
        if "SSL" not in self.security_protocol:
            return None
        context: ssl.SSLContext = create_ssl_context(cafile=self.ssl_ca_file)
        return context

    def security(self) -> BaseSecurity | None:
        """Return the TLS and SASL options as FastStream's security object."""
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


def _check_database_url(secret: SecretStr) -> SecretStr:
    """Check and normalize a database URL without connecting. No error message contains a part of it."""
    parts = urlsplit(secret.get_secret_value())
    if parts.scheme not in {"postgres", "postgresql"}:
        raise ValueError("must begin with postgresql:// or postgres://")
    for host in parts.netloc.rpartition("@")[2].split(","):
        _, colon, port = host.rpartition("]")[2].rpartition(":")
        if colon and not (port.isascii() and port.isdecimal() and 0 < int(port) <= _PORT_MAX):
            raise ValueError(
                f"a port must be a number up to {_PORT_MAX}; in a password, write %2F for /, %3F for ?,"
                " %23 for #"
            )
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    if query.get("channel_binding") == "require" and query.get("sslmode") != "verify-full":
        # asyncpg does not support channel binding, and ignoring it would mean to trust any server.
        raise ValueError(
            "channel_binding=require is not supported: replace sslmode and channel_binding by"
            " sslmode=verify-full&sslrootcert=system, which checks the server's certificate"
        )
    original = dict(query)
    query.pop("channel_binding", None)
    if query.get("sslrootcert") == "system":  # libpq's name for the CAs of the system
        query["sslrootcert"] = ssl.get_default_verify_paths().cafile or certifi.where()
    if (authority := query.get("sslrootcert")) and not Path(authority).is_file():
        raise ValueError(f"sslrootcert={authority} is not a file")
    return secret if query == original else SecretStr(urlunsplit(parts._replace(query=urlencode(query))))


DatabaseUrl = Annotated[SecretStr, AfterValidator(_check_database_url)]


class Postgres(BaseSettings):
    """Connection to PostgreSQL as the services' role. Every wait has a timeout, in seconds."""

    model_config = section("FASTCORE_POSTGRES_")
    url: DatabaseUrl = Field(
        validation_alias=env_name("DATABASE_URL"),
        examples=["postgresql://fastcore:password@127.0.0.1:5432/fastcore"],
    )
    """URL with the services' role, which cannot alter the audit log. If it lists several hosts, the writable
    one is used."""
    pool_max: int = Field(default=5, ge=4)
    """Maximum number of connections of one process. At least 4: a job holds one while others work."""
    connect_timeout_seconds: float = Field(default=5.0, gt=0)
    """Timeout for opening a connection, shared by all hosts. After it the database counts as unavailable."""
    command_timeout_seconds: float = Field(default=20.0, gt=0)
    """Timeout of one statement, after which the database counts as unavailable."""


class Http(BaseSettings):
    """The HTTP server of a service."""

    model_config = section("FASTCORE_HTTP_")
    host: str = "127.0.0.1"
    """The address to listen on."""
    port: int | None = Field(default=None, ge=1, le=_PORT_MAX)
    """The port. Defaults: ingest 8001, persister 8002, notifier 8003, flusher 8004, admin 8005, webhooks
    8006."""
    ports: str = Field(default="", examples=["ingest=8001,admin=8005"])
    """The ports of several services in one process (FASTCORE_ROLES): `name=port,...`. Defaults: as above."""
    graceful_timeout_seconds: int = Field(default=50, ge=1)
    """How long a stop waits for open requests. Keep it below the container's stop grace period of 60 s."""
    head_timeout_seconds: float = Field(default=10.0, gt=0)
    """Timeout for receiving a request's head. A client that sends slowly occupies a connection."""
    allowed_hosts: str = Field(default="", examples=["leads.example.com,*.internal.example.com"])
    """Allowed Host headers. Empty: all. With DEBUG=true, empty allows only IP addresses and private names
    such as localhost, so that no website can use the example tokens (DNS rebinding)."""

    @field_validator("ports")
    @classmethod
    def _check_ports(cls, value: str) -> str:
        for each in value.split(","):
            _, _, port = each.partition("=")
            if each.strip() and not (_PORT.fullmatch(each.strip()) and int(port) <= _PORT_MAX):
                raise ValueError("must be name=port, separated by commas")
        return value

    @property
    def ports_by_service(self) -> dict[str, int]:
        """Return the configured port of each service."""
        pairs = (each.partition("=") for each in self.ports.split(",") if each.strip())
        return {name.strip(): int(port) for name, _, port in pairs}


def load(settings: type[S]) -> S:
    """Read settings, or exit with one line that names the variable and the error.

    For each variable NAME, the environment may have NAME_FILE instead: the path of a file with its value, as
    Docker and Kubernetes mount secrets.
    """
    try:
        with _values_of_files(settings):
            return settings()
    except ValidationError as error:
        problems = "; ".join(
            f"{_failed_variable(error, item['loc'])}: {item['msg'].removeprefix('Value error, ')}"
            for item in error.errors(include_input=False, include_url=False)
        )
        sys.exit(f"wrong settings: {problems} (see .env.example)")


@contextmanager
def _values_of_files(settings: type[BaseSettings]) -> Iterator[None]:
    """Add the values of `NAME_FILE` variables to the environment while the block lasts.

    Afterwards a process that this one starts does not inherit them. Exits if a file cannot be read.
    """
    names = set(_variables(settings))
    given = {name: value for name, value in dotenv_values(".env").items() if value} | dict(os.environ)
    added = []
    try:
        for name in sorted(names):
            path = given.get(f"{name}_FILE")
            if not path or f"{name}_FILE" in names:
                continue
            if given.get(name):
                sys.exit(f"wrong settings: {name} and {name}_FILE: set one of them")
            try:
                value = Path(path).read_text(encoding="utf-8").removesuffix("\n")
            except (OSError, UnicodeDecodeError) as error:
                sys.exit(f"wrong settings: {name}_FILE: {path} cannot be read ({type(error).__name__})")
            os.environ[name] = value
            added.append(name)
        yield
    finally:
        for name in added:
            del os.environ[name]


def _variables(settings: type[BaseSettings]) -> Iterator[str]:
    """Yield the environment variables of settings and of their sections."""
    for name, field in settings.model_fields.items():
        if is_section(field):
            yield from _variables(cast("type[BaseSettings]", field.annotation))
        else:
            yield variable_name(settings, name, field)


def _failed_variable(error: ValidationError, loc: tuple[int | str, ...]) -> str:
    name = str(loc[0]) if loc else error.title
    for cls in _subclasses(BaseSettings):
        if cls.__name__ == error.title and name in cls.model_fields:
            return f"{cls.model_config.get('env_prefix', '')}{name}".upper()
    return name.upper()


def _subclasses(cls: type[BaseSettings]) -> list[type[BaseSettings]]:
    return [c for sub in cls.__subclasses__() for c in (sub, *_subclasses(sub))]
