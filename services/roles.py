"""The services, their ports, and which of them one process runs (FASTCORE_ROLES)."""

from collections.abc import Callable
from importlib import import_module
from typing import Any, Final

from fastapi import FastAPI
from pydantic import Field, field_validator
from pydantic_settings import BaseSettings

from runtime.http.server import Service
from runtime.settings import env_name, section

PORTS: Final = {
    "ingest": 8001,
    "persister": 8002,
    "notifier": 8003,
    "flusher": 8004,
    "admin": 8005,
    "webhooks": 8006,
}
ALL: Final = "all"


class Roles(BaseSettings):
    """Which services one process runs."""

    model_config = section("FASTCORE_")
    roles: str = Field(default="", validation_alias=env_name("FASTCORE_ROLES"), examples=["all"])
    """The services that `python -m services` runs in one process: `all`, or names such as ingest,admin. They
    share one PostgreSQL pool and one Kafka producer. For small installations (docs/one-process.md)."""

    @field_validator("roles")
    @classmethod
    def _check_names(cls, value: str) -> str:
        parse_roles(value)
        return value

    @property
    def names(self) -> tuple[str, ...]:
        """Return the services in a fixed order, each once. Empty if none is named."""
        return parse_roles(self.roles)


def parse_roles(value: str) -> tuple[str, ...]:
    """Return the services that `value` lists, in a fixed order, each once.

    Raises `ValueError` if there is no service of a name.
    """
    listed = {part.strip() for part in value.split(",") if part.strip()}
    if unknown := listed - PORTS.keys() - {ALL}:
        raise ValueError(f"there is no service {min(unknown)!r}; choose from: {ALL}, {', '.join(PORTS)}")
    return tuple(name for name in PORTS if name in listed or ALL in listed)


def service_of(name: str, **openers: Any) -> Service:
    """Return the service with this name. `openers` are passed to its `create_app`."""

    def create_app() -> FastAPI:
        create: Callable[..., FastAPI] = import_module(f"services.{name}.app").create_app
        return create(**openers)

    return Service(name, create_app, PORTS[name], trust_proxy_headers=name == "admin")
