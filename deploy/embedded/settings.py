"""The settings of the embedded stack: its data folder and its ports. The services have their own."""

from pathlib import Path

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from deploy.embedded.errors import EmbeddedError

ROOT = Path(__file__).parents[2]
"""The checkout. The services start here and read its `.env`."""

SERVICES = ("ingest", "persister", "notifier", "webhooks", "flusher", "admin")

_PREFIX = "FASTCORE_EMBEDDED_"


def _port(default: int) -> int:
    port: int = Field(default, ge=1, le=65535)
    return port


class Stack(BaseSettings):
    """The data folder and the ports. A variable of the environment overrides the one in `.env`."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX,
        env_file=ROOT / ".env",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
    )

    data: Path = Path(".fastcore")
    edge_port: int = _port(8000)
    ingest_port: int = _port(8001)
    persister_port: int = _port(8002)
    notifier_port: int = _port(8003)
    flusher_port: int = _port(8004)
    admin_port: int = _port(8005)
    webhooks_port: int = _port(8006)
    mailbox_port: int = _port(8025)
    smtp_port: int = _port(1025)
    kafka_port: int = _port(19092)
    kafka_controller_port: int = _port(19093)
    postgres_port: int = _port(55432)

    def port(self, name: str) -> int:
        """Return the port of a program."""
        port: int = getattr(self, f"{name}_port")
        return port

    @property
    def folder(self) -> Path:
        """The data folder. A relative path is relative to the checkout."""
        return (ROOT / self.data.expanduser()).resolve()

    def url(self, name: str) -> str:
        """Return the HTTP URL of a program."""
        return f"http://127.0.0.1:{self.port(name)}"


def port_variable(name: str) -> str:
    """Return the name of the environment variable that changes a program's port."""
    return f"{_PREFIX}{name}_port".upper()


def load() -> Stack:
    """Read the settings. Raises `EmbeddedError` that names each invalid variable."""
    try:
        return Stack()
    except ValidationError as error:
        problems = error.errors(include_input=False, include_url=False)
        invalid = "; ".join(f"{_PREFIX}{str(each['loc'][0]).upper()}: {each['msg']}" for each in problems)
        raise EmbeddedError(f"wrong settings: {invalid}") from None
