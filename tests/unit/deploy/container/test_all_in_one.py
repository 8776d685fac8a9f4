"""The all-in-one container: its check of the settings, and supervisord's configuration."""

import configparser
from pathlib import Path

import pytest

from deploy.container import all_in_one
from deploy.embedded.settings import SERVICES
from deploy.settings import SERVICE_SETTINGS, missing_variables

REQUIRED = {
    "ADMIN_EMAIL", "DATABASE_URL", "FASTCORE_ADMIN_TOKEN", "FASTCORE_SITE_INGEST_TOKEN",
    "FROM_EMAIL", "KAFKA_BOOTSTRAP_SERVERS", "SMTP_HOST",
}  # fmt: skip


def test_all_that_is_missing_is_named_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in REQUIRED:
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(SystemExit) as ended:
        all_in_one.main()
    message = str(ended.value)
    assert all(name in message for name in REQUIRED)
    assert len(message.splitlines()) == 1
    assert ".env" in message


def test_a_variable_that_is_set_is_not_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in REQUIRED - {"SMTP_HOST"}:
        monkeypatch.setenv(name, "x")
    monkeypatch.delenv("SMTP_HOST", raising=False)
    assert {name for each in SERVICE_SETTINGS for name in missing_variables(each)} == {"SMTP_HOST"}


def test_all_in_one_runs_services_and_edge_and_stops_them_together(tmp_path: Path) -> None:
    made = configparser.RawConfigParser()
    made.read_string(all_in_one.render(tmp_path))
    programs = made["group:fastcore"]["programs"].split(",")
    assert sorted(programs) == sorted([*SERVICES, "edge"])
    for name in programs:
        assert made[f"program:{name}"]["autorestart"] == "true"
        # Above the drain's 50 s, below the container's 60 s.
        assert 50 < int(made[f"program:{name}"]["stopwaitsecs"]) < 60
        assert made[f"program:{name}"]["stdout_logfile"] == "/dev/stdout"
    assert "--host 0.0.0.0" in made["program:edge"]["command"]
