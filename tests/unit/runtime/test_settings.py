"""A wrong setting stops the service with one line that names the variable."""

import secrets
from pathlib import Path
from urllib.parse import unquote

import pytest
from pydantic import ValidationError

from runtime.access_tokens import named_tokens, refuse_weak_tokens
from runtime.settings import Kafka, Postgres, load
from services.persister.settings import Settings


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("KAFKA_BOOTSTRAP_SERVERS", "DATABASE_URL", "LOG_LEVEL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)  # away from anybody's .env


def test_a_missing_value_is_named_by_its_variable() -> None:
    with pytest.raises(SystemExit, match=r"KAFKA_BOOTSTRAP_SERVERS: Field required"):
        load(Kafka)


def test_a_wrong_value_is_named_by_its_variable_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:secret@h/d")
    monkeypatch.setenv("FASTCORE_POSTGRES_POOL_MAX", "many")
    with pytest.raises(SystemExit) as stop:
        load(Postgres)
    assert "FASTCORE_POSTGRES_POOL_MAX" in str(stop.value)
    assert "secret" not in str(stop.value)


def test_a_section_of_a_service_is_named_like_the_service_s_own_fields(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "k:9092")
    with pytest.raises(SystemExit, match="DATABASE_URL"):
        load(Settings)


def test_dot_env_is_read_and_the_environment_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("KAFKA_BOOTSTRAP_SERVERS=file:1\nUNKNOWN_TO_US=1\n")
    assert load(Kafka).bootstrap_servers == "file:1"
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "env:1")
    assert load(Kafka).bootstrap_servers == "env:1"


def test_tokens_carry_the_name_of_their_site_or_the_default() -> None:
    assert named_tokens("a, shop:b ,c:d:e,,", "default") == {"a": "default", "b": "shop", "e": "c:d"}


@pytest.mark.parametrize(
    "token",
    [secrets.token_urlsafe(18), secrets.token_hex(12), "730915584412926507318845"],
    ids=["url-safe", "hex", "digits"],  # pytest-xdist asks for the same names in each worker
)
def test_a_random_token_is_accepted(token: str) -> None:
    refuse_weak_tokens("FASTCORE_SITE_INGEST_TOKEN", [token])


@pytest.mark.parametrize(
    "token",
    [
        "dev-token-xyz-123",
        "dev-queue-token-xyz-123",
        "short",
        "a" * 24,
        "ab" * 20,
        "changeme" * 3,
        "1234567890" * 4,
    ],
)
def test_a_token_that_does_not_resist_guessing_stops_a_production_service(token: str) -> None:
    with pytest.raises(SystemExit, match="FASTCORE_SITE_INGEST_TOKEN"):
        refuse_weak_tokens("FASTCORE_SITE_INGEST_TOKEN", [token])


@pytest.mark.parametrize("scheme", ["postgres", "postgresql"])
def test_a_url_from_a_provider_is_understood(scheme: str) -> None:
    tls = "sslmode=verify-full&sslrootcert=system&channel_binding=require"
    url = f"{scheme}://u:p%40ss@db.example.com/leads?{tls}"
    read = Postgres.model_validate({"url": url}).url.get_secret_value()
    assert read.startswith(f"{scheme}://u:p%40ss@db.example.com/leads?sslmode=verify-full&sslrootcert=")
    assert Path(unquote(read.rpartition("=")[2])).is_file()
    assert "channel_binding" not in read


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("mysql://u:hidden@h/db", "postgresql://"),
        ("postgresql://u:hidden@h/db?sslmode=verify-full&sslrootcert=/not/there.pem", "is not a file"),
        ("postgresql://u:hidden@h/db?sslmode=require&channel_binding=require", "sslmode=verify-full"),
    ],
)
def test_a_database_url_that_cannot_work_is_refused_without_repeating_it(url: str, words: str) -> None:
    with pytest.raises(ValidationError, match=words) as caught:
        Postgres.model_validate({"url": url})
    assert "hidden" not in str(caught.value.errors(include_input=False))


def test_a_login_to_kafka_is_whole_and_its_authority_a_certificate(tmp_path: Path) -> None:
    given = {"bootstrap_servers": "k:9092", "security_protocol": "SASL_SSL", "sasl_username": "u"}
    with pytest.raises(ValidationError, match="KAFKA_SASL_PASSWORD"):
        Kafka.model_validate(given)
    (file := tmp_path / "ca.pem").write_text("no certificate")
    with pytest.raises(ValidationError, match="PEM"):
        Kafka.model_validate({**given, "sasl_password": "p", "ssl_ca_file": str(file)})
