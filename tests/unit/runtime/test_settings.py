"""An invalid setting stops the service with one line that names the variable."""

import os
import secrets
from pathlib import Path
from urllib.parse import unquote

import certifi
import pytest
from pydantic import ValidationError

from runtime.access_tokens import named_tokens, refuse_weak_tokens
from runtime.settings import Kafka, Postgres, load
from services.persister.settings import Settings


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("KAFKA_BOOTSTRAP_SERVERS", "DATABASE_URL", "LOG_LEVEL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)  # so that no .env is read


def test_load_names_variable_of_missing_value() -> None:
    with pytest.raises(SystemExit, match=r"KAFKA_BOOTSTRAP_SERVERS: Field required"):
        load(Kafka)


def test_load_names_variable_of_invalid_value_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:secret@h/d")
    monkeypatch.setenv("FASTCORE_POSTGRES_POOL_MAX", "many")
    with pytest.raises(SystemExit) as stop:
        load(Postgres)
    assert "FASTCORE_POSTGRES_POOL_MAX" in str(stop.value)
    assert "secret" not in str(stop.value)


def test_load_names_variable_of_composed_section(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "k:9092")
    with pytest.raises(SystemExit, match="DATABASE_URL"):
        load(Settings)


def test_environment_overrides_dot_env(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("KAFKA_BOOTSTRAP_SERVERS=file:1\nUNKNOWN_TO_US=1\n")
    assert load(Kafka).bootstrap_servers == "file:1"
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "env:1")
    assert load(Kafka).bootstrap_servers == "env:1"


def test_token_list_names_site_or_default() -> None:
    assert named_tokens("a, shop:b ,c:d:e,,", "default") == {"a": "default", "b": "shop", "e": "c:d"}


@pytest.mark.parametrize(
    "token",
    [secrets.token_urlsafe(18), secrets.token_hex(12), "730915584412926507318845"],
    ids=["url-safe", "hex", "digits"],  # pytest-xdist asks for the same names in each worker
)
def test_random_token_is_accepted(token: str) -> None:
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
def test_weak_token_exits_in_production(token: str) -> None:
    with pytest.raises(SystemExit, match="FASTCORE_SITE_INGEST_TOKEN"):
        refuse_weak_tokens("FASTCORE_SITE_INGEST_TOKEN", [token])


@pytest.mark.parametrize("scheme", ["postgres", "postgresql"])
def test_database_url_of_provider_is_normalized(scheme: str) -> None:
    tls = "sslmode=verify-full&sslrootcert=system&channel_binding=require"
    url = f"{scheme}://u:p%40ss@db.example.com/leads?{tls}"
    read = Postgres.model_validate({"url": url}).url.get_secret_value()
    assert read.startswith(f"{scheme}://u:p%40ss@db.example.com/leads?sslmode=verify-full&sslrootcert=")
    assert Path(unquote(read.rpartition("=")[2])).is_file()
    assert "channel_binding" not in read


@pytest.mark.parametrize("hosts", ["h", "h:5432,other", "[::1],[::2]:5433", "%2Ftmp", ""])
def test_database_url_may_have_several_hosts(hosts: str) -> None:
    url = f"postgresql://u:p%40ss@{hosts}/db"
    assert Postgres.model_validate({"url": url}).url.get_secret_value() == url


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("mysql://u:hidden@h/db", "postgresql://"),
        ("postgresql://u:hidden/slash@h/db", "%2F for /"),
        ("postgresql://u:hidden@h,other:99999/db", "up to 65535"),
        ("postgresql://u:hidden@h:/db", "must be a number"),
        ("postgresql://u:hidden@h/db?sslmode=verify-full&sslrootcert=/not/there.pem", "is not a file"),
        ("postgresql://u:hidden@h/db?sslmode=require&channel_binding=require", "sslmode=verify-full"),
    ],
)
def test_invalid_database_url_is_not_shown_in_error(url: str, words: str) -> None:
    with pytest.raises(ValidationError, match=words) as caught:
        Postgres.model_validate({"url": url})
    assert "hidden" not in str(caught.value.errors(include_input=False))


def test_kafka_settings_require_full_login_and_pem_file(tmp_path: Path) -> None:
    values = {"bootstrap_servers": "k:9092", "security_protocol": "SASL_SSL", "sasl_username": "u"}
    with pytest.raises(ValidationError, match="KAFKA_SASL_PASSWORD"):
        Kafka.model_validate(values)
    (file := tmp_path / "ca.pem").write_text("no certificate")
    with pytest.raises(ValidationError, match="PEM"):
        Kafka.model_validate({**values, "sasl_password": "p", "ssl_ca_file": str(file)})


def test_a_value_is_read_from_the_file_that_a_variable_names(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "url").write_text("postgresql://u:secret@h/d\n")
    monkeypatch.setenv("DATABASE_URL_FILE", str(tmp_path / "url"))
    assert load(Postgres).url.get_secret_value() == "postgresql://u:secret@h/d"
    assert "DATABASE_URL" not in os.environ


def test_the_files_of_sections_and_of_dot_env_are_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "url").write_text("postgresql://u:secret@h/d")
    (tmp_path / ".env").write_text(f"DATABASE_URL_FILE={tmp_path / 'url'}\n")
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "k:9092")
    assert load(Settings).postgres.url.get_secret_value() == "postgresql://u:secret@h/d"


def test_a_value_and_a_file_for_it_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:secret@h/d")
    monkeypatch.setenv("DATABASE_URL_FILE", str(tmp_path / "url"))
    with pytest.raises(SystemExit, match="DATABASE_URL and DATABASE_URL_FILE: set one of them"):
        load(Postgres)


def test_a_file_that_cannot_be_read_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DATABASE_URL_FILE", str(tmp_path / "url"))
    with pytest.raises(SystemExit, match=r"DATABASE_URL_FILE: .*url cannot be read \(FileNotFoundError\)"):
        load(Postgres)


def test_a_setting_whose_name_ends_with_file_is_still_a_path(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "k:9092")
    monkeypatch.setenv("KAFKA_SSL_CA_FILE", certifi.where())
    assert str(load(Kafka).ssl_ca_file) == certifi.where()
