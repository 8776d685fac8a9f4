"""The migration's settings: two roles, unless DEBUG=true allows one."""

import pytest

from deploy.settings import MigrationSettings
from runtime.settings import load

URL = "postgresql://fastcore:secret@127.0.0.1/fastcore"


def test_regression_debug_in_the_environment_is_read_by_the_migration(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A section in a field named `debug` was itself read from the variable DEBUG, and `make up` failed.
    monkeypatch.setenv("DATABASE_URL", URL)
    monkeypatch.setenv("DEBUG", "true")
    assert load(MigrationSettings).debug


def test_without_debug_a_missing_owner_stops_the_migration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", URL)
    monkeypatch.setenv("DEBUG", "false")
    monkeypatch.delenv("FASTCORE_MIGRATION_DATABASE_URL", raising=False)
    with pytest.raises(SystemExit, match="FASTCORE_MIGRATION_DATABASE_URL is missing"):
        load(MigrationSettings)
