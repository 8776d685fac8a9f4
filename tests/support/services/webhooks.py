"""The webhooks service in the process of the test, and its sites file."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from runtime.settings import Kafka, Postgres, SitesFile
from services.webhooks.app import create_app
from services.webhooks.settings import Settings
from tests.support.web.webhook_receiver import SECRET

VARIABLE = "WEBHOOK_TEST_SECRET"


def destination(name: str, url: str, **changes: Any) -> dict[str, Any]:
    """Return a destination of the kind webhook that may be on this machine."""
    return {
        "name": name,
        "kind": "webhook",
        "url": url,
        "secret": f"env:{VARIABLE}",
        "allow_private": True,
    } | changes


def write_sites(folder: Path, *destinations: dict[str, Any]) -> Path:
    """Write a sites file with the sites default and shop, and these destinations."""
    path = folder / "sites.toml"
    path.write_text(f'[sites.default]\n[sites.shop]\nname = "Shop Nord"\n{in_toml(*destinations)}')
    return path


def in_toml(*destinations: dict[str, Any]) -> str:
    """Return these destinations as a part of a sites file."""
    lines = list[str]()
    for each in destinations:
        lines.append("[[destinations]]")
        lines += [f"{key} = {_toml(value)}" for key, value in each.items() if value is not None]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(each)}" for key, each in value.items()) + " }"
    return f"'''{value}'''"


@contextlib.asynccontextmanager
async def webhooks(
    kafka: Kafka, postgres: Postgres, sites: Path, monkeypatch: pytest.MonkeyPatch, **settings: Any
) -> AsyncIterator[None]:
    """The whole service in this process: its lifespan, without its socket."""
    monkeypatch.setenv(VARIABLE, SECRET)
    app = create_app(Settings(kafka=kafka, postgres=postgres, sites_file=SitesFile(path=sites), **settings))
    async with app.router.lifespan_context(app):
        yield
