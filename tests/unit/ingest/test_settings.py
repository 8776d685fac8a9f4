"""Invalid settings stop the gateway at its start, with one line."""

import pytest

from services.ingest.app import create_app
from services.ingest.settings import Settings

GOOD = "a-token-of-a-website-1234567890"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setenv("FASTCORE_SITE_INGEST_TOKEN", GOOD)
    monkeypatch.delenv("DEBUG", raising=False)


@pytest.mark.parametrize(
    "token", ["", " , ", "short", "dev-token-xyz-123", f"{GOOD},www:short", f"a site:{GOOD}"]
)
def test_missing_short_or_example_token_stops_the_start(monkeypatch: pytest.MonkeyPatch, token: str) -> None:
    monkeypatch.setenv("FASTCORE_SITE_INGEST_TOKEN", token)
    with pytest.raises(SystemExit) as stopped:
        create_app()
    line = str(stopped.value)
    assert "FASTCORE_SITE_INGEST_TOKEN" in line
    assert "\n" not in line
    assert GOOD not in line


def test_debug_permits_the_example_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTCORE_SITE_INGEST_TOKEN", "dev-token-xyz-123")
    monkeypatch.setenv("DEBUG", "true")
    create_app()


@pytest.mark.parametrize("origins", ["*", "www.example.com", "https://example.com/form", "null"])
def test_invalid_origin_stops_the_start(monkeypatch: pytest.MonkeyPatch, origins: str) -> None:
    monkeypatch.setenv("FASTCORE_INGEST_CORS_ORIGINS", origins)
    with pytest.raises(SystemExit, match="FASTCORE_INGEST_CORS_ORIGINS"):
        create_app()


def test_settings_repr_contains_no_token() -> None:
    assert GOOD not in repr(Settings())
