"""Wrong settings are said at the start, by the variable's name."""

from datetime import UTC, datetime
from typing import Any

import pytest

from runtime.settings import load
from services.notifier.batch_plan import KINDS
from services.notifier.mail.message import Identity, compose
from services.notifier.settings import Settings
from tests.support.factories import lead

GOOD = {
    "KAFKA_BOOTSTRAP_SERVERS": "localhost:9092",
    "DATABASE_URL": "postgresql://u:p@localhost/d",
    "SMTP_HOST": "localhost",
    "FROM_EMAIL": "hello@fast.example",
    "ADMIN_EMAIL": "boss@fast.example, Ops@fast.example",
}


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.chdir(tmp_path)  # no .env of this checkout
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)


def test_good_settings_are_read() -> None:
    settings = load(Settings)
    assert settings.admins == ("boss@fast.example", "Ops@fast.example")
    assert settings.answer_timeout_seconds < settings.mail_timeout_seconds < settings.lease_seconds
    assert settings.smtp.tls
    assert not settings.smtp.implicit_tls


def test_port_465_is_implicit_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMTP_PORT", "465")
    monkeypatch.setenv("SMTP_TLS", "false")
    assert load(Settings).smtp.implicit_tls


def test_regression_spaces_around_the_sender_s_name_kill_no_mail(monkeypatch: pytest.MonkeyPatch) -> None:
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
def test_regression_an_address_that_a_mail_server_may_know_stops_nothing(
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
def test_a_wrong_value_stops_the_service_with_the_name_of_its_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit, match=name):
        load(Settings)
