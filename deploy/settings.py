"""The settings classes that the commands, the generators and the container share."""

import ipaddress
import os
from typing import Any, Final, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings

from runtime.settings import DatabaseUrl, Debug, env_name, is_section, section, variable_name
from services.admin.settings import Settings as Admin
from services.flusher.settings import Settings as Flusher
from services.ingest.settings import Settings as Ingest
from services.notifier.settings import Settings as Notifier
from services.persister.settings import Settings as Persister
from services.webhooks.settings import Settings as Webhooks

_SITES: Final = ("FASTCORE_SITE_INGEST_TOKEN", "FASTCORE_SITES_FILE")
SERVICE_SETTINGS: Final[tuple[type[BaseSettings], ...]] = (
    Ingest,
    Persister,
    Notifier,
    Webhooks,
    Flusher,
    Admin,
)


class MigrationSettings(BaseSettings):
    """The two database URLs.

    Migrations run with the owner's URL, and grant rights to the role that the services' URL names.
    """

    model_config = section()
    # Not the section Debug: pydantic would read a field named `debug` from the variable DEBUG itself.
    debug: bool = Field(
        default=False, validation_alias=env_name("DEBUG"), description=Debug.model_fields["on"].description
    )
    database_url: DatabaseUrl = Field(validation_alias=env_name("DATABASE_URL"))
    migration_database_url: DatabaseUrl | None = Field(
        default=None,
        validation_alias=env_name("FASTCORE_MIGRATION_DATABASE_URL"),
        examples=["postgresql://fastcore_owner:password@127.0.0.1:5432/fastcore"],
    )
    """The owner's role, read by migrate only. By default DATABASE_URL, which needs DEBUG=true."""

    @model_validator(mode="after")
    def _require_two_roles(self) -> "MigrationSettings":
        if self.migration_database_url is None and not self.debug:
            msg = (
                "FASTCORE_MIGRATION_DATABASE_URL is missing: set it to the owner's URL, so that the "
                "services' role in DATABASE_URL cannot alter the audit log"
                " (only DEBUG=true lets one role do both)"
            )
            raise ValueError(msg)
        return self


class ReplicationSettings(BaseSettings):
    """How the topics are created. Only the topics command and the doctor read these settings."""

    model_config = section()
    replication: int = Field(
        default=3, ge=1, le=32_767, validation_alias=env_name("FASTCORE_KAFKA_REPLICATION")
    )
    """How many brokers have each record. compose and `make up` set 1 for their one broker."""


def _parse_nameservers(value: str) -> tuple[tuple[str, int], ...]:
    addresses = []
    for part in value.split(","):
        host, port = part.strip(), "53"
        if host.startswith("[") or host.count(":") == 1:
            host, _, port = host.rpartition(":") if not host.endswith("]") else (host, "", port)
        try:
            addresses.append((str(ipaddress.ip_address(host.strip("[]"))), int(port)))
        except ValueError:
            raise ValueError("must be addresses such as 192.0.2.53 or [2001:db8::53]:53") from None
    return tuple(addresses)


class DoctorSettings(BaseSettings):
    """What the doctor needs to check the senders' domains by DNS."""

    model_config = section("FASTCORE_DOCTOR_")
    nameservers: str = Field(default="", examples=["192.0.2.53,[2001:db8::53]:5353"])
    """Name servers for the doctor, separated by commas. Empty: those of the machine."""
    dkim_selectors: str = Field(default="", pattern=r"^[A-Za-z0-9._ ,-]*$", examples=["s1,s2"])
    """DKIM selectors with which your mail provider signs, separated by commas. Empty: its usual ones."""

    @model_validator(mode="after")
    def _check_nameservers(self) -> Self:
        if self.nameservers:
            _parse_nameservers(self.nameservers)
        return self

    @property
    def nameserver_addresses(self) -> tuple[tuple[str, int], ...]:
        """Return the addresses and ports of the name servers. Empty means those of the machine."""
        return _parse_nameservers(self.nameservers) if self.nameservers else ()

    @property
    def selectors(self) -> tuple[str, ...]:
        """Return the selectors of the mail provider."""
        return tuple(each.strip() for each in self.dkim_selectors.split(",") if each.strip())


def missing_variables(settings: type[BaseSettings]) -> list[str]:
    """Return the required variables that the environment does not set, including those of sections."""
    missing = []
    for name, field in settings.model_fields.items():
        inner: Any = field.annotation
        if is_section(field):
            missing += missing_variables(inner)
        elif field.default is PydanticUndefined and field.default_factory is None:
            variable = variable_name(settings, name, field)
            if not _is_set(variable):
                missing.append(variable)
    # Either of two variables gives the gateway its sites, so pydantic requires neither.
    if settings is Ingest and not any(map(_is_set, _SITES)):
        missing.append(_SITES[0])
    return missing


def _is_set(variable: str) -> bool:
    """Return True if the environment has the variable, or names a file with its value (see `load`)."""
    return bool(os.environ.get(variable) or os.environ.get(f"{variable}_FILE"))
