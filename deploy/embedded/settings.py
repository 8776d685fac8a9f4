"""What can be moved about the embedded stack: its data folder and its ports. No service's settings."""

from pathlib import Path

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from deploy.embedded.errors import EmbeddedError

ROOT = Path(__file__).parents[2]
"""The checkout: where the services start, and find `.env`."""

SERVICES = ("ingest", "persister", "notifier", "flusher", "admin")

_PREFIX = "FASTCORE_EMBEDDED_"


def _port(default: int) -> int:
    port: int = Field(default, ge=1, le=65535)
    return port


class Stack(BaseSettings):
    """Read from the environment, then from `.env`."""

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
    mailbox_port: int = _port(8025)
    smtp_port: int = _port(1025)
    kafka_port: int = _port(19092)
    kafka_controller_port: int = _port(19093)
    postgres_port: int = _port(55432)

    def port(self, name: str) -> int:
        """Answer the port of a program by its name."""
        port: int = getattr(self, f"{name}_port")
        return port

    @property
    def folder(self) -> Path:
        """The data folder; a relative one is the checkout's."""
        return (ROOT / self.data.expanduser()).resolve()

    def url(self, name: str) -> str:
        """Answer where a program answers HTTP."""
        return f"http://127.0.0.1:{self.port(name)}"


def port_variable(name: str) -> str:
    """Name the variable that moves a program's port."""
    return f"{_PREFIX}{name}_port".upper()


def load() -> Stack:
    """Read the settings, or say which variable is wrong."""
    try:
        return Stack()
    except ValidationError as error:
        problems = error.errors(include_input=False, include_url=False)
        wrong = "; ".join(f"{_PREFIX}{str(one['loc'][0]).upper()}: {one['msg']}" for one in problems)
        raise EmbeddedError(f"wrong settings: {wrong}") from None
