"""The one container of deploy/compose/one-process.yml has what the six containers have together."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from services.roles import PORTS

ROOT = Path(__file__).parents[2]


class Loader(yaml.SafeLoader):
    """Reads compose's tag `!override` as the value behind it."""


def _read_override(loader: Loader, node: yaml.MappingNode) -> Any:
    return loader.construct_mapping(node, deep=True)


Loader.add_constructor("!override", _read_override)


def read_services(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.load((ROOT / name).read_text(encoding="utf-8"), Loader)["services"]  # noqa: S506 - a subclass of SafeLoader
    return found


SIX, ONE = read_services("docker-compose.yml"), read_services("deploy/compose/one-process.yml")


def paths(service: dict[str, Any]) -> set[str]:
    return {each["path"] for each in service.get("env_file", [])}


def environment(service: dict[str, Any]) -> dict[str, str]:
    """Return the variables of a service. A list under `<<` is merged, the first entry last."""
    found: dict[str, str] = service.get("environment", {})
    return found


@pytest.mark.parametrize("name", PORTS)
def test_the_container_has_the_settings_and_networks_of_each_service(name: str) -> None:
    one, ingest, service = ONE["ingest"], SIX["ingest"], SIX[name]
    assert paths(service) <= paths(one) | paths(ingest)
    assert environment(service).items() <= (environment(ingest) | environment(one)).items()
    assert set(service["networks"]) <= set(one["networks"])
    assert set(service.get("volumes", ())) <= {*one["volumes"], *ingest["volumes"]}


@pytest.mark.parametrize("name", sorted(PORTS.keys() - {"ingest"}))
def test_names_of_the_other_services_lead_to_the_container(name: str) -> None:
    assert ONE[name] == {"profiles": ["six-processes"]}
    assert name in ONE["ingest"]["networks"]["services"]["aliases"]


def test_the_edge_finds_admin_and_waits_for_the_container_only() -> None:
    assert ONE["ingest"]["networks"]["edge"]["aliases"] == ["admin"]
    assert ONE["edge"]["depends_on"] == {"ingest": {"condition": "service_healthy"}}
    assert ONE["ingest"]["command"] == ["all"]
    assert set(ONE["ingest"]["depends_on"]) == set(SIX["persister"]["depends_on"])
