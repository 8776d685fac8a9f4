"""Each composed service receives its own settings only."""

import re
from pathlib import Path

import pytest
import yaml

from deploy.generate.compose_environment import environment_files
from tests.compose.edge_image import default_edge_image

ROOT = Path(__file__).parents[4]
FILES = {path.stem: set(text.splitlines()) for path, text in environment_files().items()}
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]


@pytest.mark.parametrize(
    ("secret", "readers"),
    [
        ("FASTCORE_MIGRATION_DATABASE_URL", {"migrate"}),
        ("FASTCORE_ADMIN_TOKEN", {"admin"}),
        ("SMTP_PASSWORD", {"notifier", "flusher"}),
        ("DATABASE_URL", {"persister", "notifier", "webhooks", "flusher", "admin", "migrate"}),
    ],
)
def test_a_secret_is_passed_to_its_readers_only(secret: str, readers: set[str]) -> None:
    assert {name for name, names in FILES.items() if secret in names} == readers


def test_each_service_reads_its_own_list() -> None:
    for name in FILES:
        files = [each if isinstance(each, str) else each["path"] for each in COMPOSE[name]["env_file"]]
        assert f"deploy/compose/environment/{name}.env" in files
        assert not [path for path in files if path.endswith(("/.env", "-.env}")) or path == ".env"]


def test_the_edge_is_pinned_to_a_caddy_that_retries_posts() -> None:
    found = re.fullmatch(r"caddy:(\d+)\.(\d+)\.(\d+)", default_edge_image())
    assert found, default_edge_image()
    assert tuple(map(int, found.groups())) >= (2, 11, 2)


def test_every_image_names_an_exact_version() -> None:
    for name, service in COMPOSE.items():
        image = str(service.get("image", ""))
        if not image or "fastcore" in image.lower():
            continue
        assert re.search(r":v?\d+\.\d+(\.\d+)?}$", image), f"{name}: {image}"


def test_regression_what_libraries_read_reaches_every_service() -> None:
    for names in FILES.values():
        assert {"SSL_CERT_FILE", "OTEL_RESOURCE_ATTRIBUTES"} <= names


def test_regression_only_the_composed_kafka_has_one_replica() -> None:
    environment = [service.get("environment") or {} for service in COMPOSE.values()]
    assert not [each for each in environment if "FASTCORE_KAFKA_REPLICATION" in each]
    for name in FILES:
        paths = [each["path"] for each in COMPOSE[name]["env_file"]]
        assert "deploy/compose/one-broker${KAFKA_BOOTSTRAP_SERVERS:+-not}.env" in paths
