"""Invalid settings stop the admin service at its start, with one line."""

import pytest

from services.admin.settings import read

TOKEN = "an-admin-token-1234567890-abc"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setenv("DATABASE_URL", "postgresql://127.0.0.1:1/none")
    monkeypatch.setenv("DEBUG", "true")


def test_actor_that_the_audit_log_holds_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTCORE_ADMIN_TOKEN", f"{'a' * 200}:{TOKEN}")
    assert read().actors == {TOKEN: "a" * 200}


def test_regression_actor_too_long_for_the_audit_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTCORE_ADMIN_TOKEN", f"{'a' * 201}:{TOKEN}")
    with pytest.raises(SystemExit, match=r"FASTCORE_ADMIN_TOKEN.*at most 200") as stopped:
        read()
    assert TOKEN not in str(stopped.value)
