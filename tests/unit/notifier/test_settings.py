"""Valid settings, and the errors that name the variable of an invalid one."""

from datetime import UTC, datetime
from typing import Any

import pytest

from runtime.settings import load
from services.notifier.deliveries import KINDS
from services.notifier.mail.message import Identity, compose
from services.notifier.settings import Settings
from tests.support.factories import lead

VALID = {
    "KAFKA_BOOTSTRAP_SERVERS": "localhost:9092",
    "DATABASE_URL": "postgresql://u:p@localhost/d",
    "SMTP_HOST": "localhost",
    "FROM_EMAIL": "hello@fast.example",
    "ADMIN_EMAIL": "boss@fast.example, Ops@fast.example",
}


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.chdir(tmp_path)  # no .env of this checkout
    for name, value in VALID.items():
        monkeypatch.setenv(name, value)


def test_valid_settings_are_loaded() -> None:
    settings = load(Settings)
    assert settings.admins == ("boss@fast.example", "Ops@fast.example")
    assert settings.answer_timeout_seconds < settings.mail_timeout_seconds < settings.lease_seconds
    assert settings.smtp.tls
    assert not settings.smtp.implicit_tls


def test_port_465_is_implicit_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMTP_PORT", "465")
    monkeypatch.setenv("SMTP_TLS", "false")
    assert load(Settings).smtp.implicit_tls


def test_regression_spaces_in_the_sender_name_are_normalized(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTCORE_NOTIFIER_SENDER_NAME", " Zoë  & Söhne, Inc. ")
    settings = load(Settings)
    identity = Identity(settings.from_email, settings.sender_name, settings.admins)
    for kind in KINDS:
        assert compose(kind, lead(), identity, datetime.now(UTC)).content
    assert settings.sender_name == "Zoë & Söhne, Inc."


@pytest.mark.parametrize("name", ["FROM_EMAIL", "ADMIN_EMAIL"])
@pytest.mark.parametrize(
    "address",
    [
        "leads@fast.local",
        "leads@fast.internal",
        "leads@fast.test",
        "leads@mailhost",
        "leads@localhost",
        "leads@fast.invalid",
        "hällo@fast.example",
        "o'brien+leads@fast.example",
    ],
)
def test_regression_a_local_or_non_ascii_address_is_valid(
    monkeypatch: pytest.MonkeyPatch, name: str, address: str
) -> None:
    monkeypatch.setenv(name, address)
    settings = load(Settings)
    identity = Identity(settings.from_email, settings.sender_name, settings.admins)
    for kind in KINDS:
        mail = compose(kind, lead(), identity, datetime.now(UTC))
        used = mail.sender if name == "FROM_EMAIL" else settings.admins[0]
        assert used == address
        assert mail.smtputf8 or mail.content.isascii()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SMTP_HOST", ""),
        ("SMTP_PORT", "0"),
        ("SMTP_USER", "only-a-user"),
        ("FROM_EMAIL", "nobody"),
        ("FROM_EMAIL", "hello@fast..local"),
        ("FROM_EMAIL", "hello@fast.example\nBcc: x@example.com"),
        ("ADMIN_EMAIL", " , "),
        ("ADMIN_EMAIL", "boss@fast.example,nobody"),
        ("FASTCORE_NOTIFIER_SENDER_NAME", "   "),
        ("FASTCORE_NOTIFIER_SENDER_NAME", "a\nBcc: x@example.com"),
        ("FASTCORE_NOTIFIER_ADMIN_URL", "javascript:alert(1)"),
        ("FASTCORE_NOTIFIER_LEASE_SECONDS", "40"),
    ],
)
def test_an_invalid_value_is_reported_with_its_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit, match=name):
        load(Settings)
