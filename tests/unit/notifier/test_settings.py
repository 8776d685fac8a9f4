"""Valid settings, and the errors that name the variable of an invalid one."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from runtime.oauth_tokens import OAuthGrant
from runtime.settings import load
from services.notifier.deliveries import KINDS
from services.notifier.mail.dkim_key import make_private_key
from services.notifier.mail.message import Identity, compose
from services.notifier.settings import Dkim, Settings, Smtp
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


OAUTH = {
    "host": "smtp.example.com",
    "user": "leads@example.com",
    "oauth_token_url": "https://login.example.com/token",
    "oauth_client_id": "client",
    "oauth_client_secret": "secret-word",
    "oauth_refresh_token": "secret-word",
    "oauth_scope": "mail",
}


@pytest.mark.parametrize(
    ("flow", "without", "message"),
    [
        (
            "client_credentials",
            ["oauth_scope"],
            "SMTP_OAUTH_SCOPE: SMTP_OAUTH_FLOW=client_credentials needs it",
        ),
        ("client_credentials", ["user", "oauth_client_id"], "SMTP_USER and SMTP_OAUTH_CLIENT_ID: "),
        ("refresh_token", ["oauth_refresh_token"], "SMTP_OAUTH_REFRESH_TOKEN: "),
        ("refresh_token", ["oauth_token_url"], "SMTP_OAUTH_TOKEN_URL: "),
        ("service_account", [], "SMTP_OAUTH_SERVICE_ACCOUNT_FILE: "),
    ],
)
def test_a_missing_setting_of_xoauth2_is_named(flow: str, without: list[str], message: str) -> None:
    given = {name: value for name, value in OAUTH.items() if name not in without}
    with pytest.raises(ValidationError, match=re.escape(message)):
        Smtp.model_validate({**given, "oauth_flow": flow})


def test_xoauth2_needs_no_password_and_no_other_settings() -> None:
    for flow, secret in (("client_credentials", ""), ("refresh_token", "secret-word")):
        grant = Smtp.model_validate({**OAUTH, "oauth_flow": flow}).grant()
        assert grant is not None
        assert (grant.user, grant.token_url) == (OAUTH["user"], OAUTH["oauth_token_url"])
        assert (grant.refresh_token, "secret-word" in repr(grant)) == (secret, False)
    with pytest.raises(ValidationError, match="give only one of them"):
        Smtp.model_validate({**OAUTH, "oauth_flow": "refresh_token", "password": "x"})
    with pytest.raises(ValidationError, match="String should match pattern"):
        Smtp.model_validate(
            {**OAUTH, "oauth_flow": "refresh_token", "oauth_token_url": "http://example.com/"}
        )


@pytest.mark.parametrize(
    "content", ["", "{}", "[]", '{"client_email": "a", "private_key": "b", "token_uri": "c"}']
)
def test_a_file_that_is_no_service_account_stops_the_start(tmp_path: Path, content: str) -> None:
    file = tmp_path / "account.json"
    file.write_text(content)
    with pytest.raises(ValidationError, match="is not the JSON key of a service account"):
        Smtp.model_validate(
            {**OAUTH, "oauth_flow": "service_account", "oauth_service_account_file": str(file)}
        )


def test_a_service_account_is_read_from_its_file(tmp_path: Path) -> None:
    account = {"client_email": "svc@p.iam", "private_key": make_private_key(2048), "token_uri": "https://x/t"}
    (tmp_path / "account.json").write_text(json.dumps(account))
    grant = Smtp.model_validate(
        {
            "host": "smtp.gmail.com",
            "user": "leads@example.com",
            "oauth_flow": "service_account",
            "oauth_service_account_file": tmp_path / "account.json",
        }
    ).grant()
    assert grant == OAuthGrant(
        "leads@example.com",
        "https://x/t",
        "svc@p.iam",
        "https://mail.google.com/",
        private_key=account["private_key"],
    )


@pytest.mark.parametrize(
    ("dkim", "message"),
    [
        ({"selector": "fc1"}, "FASTCORE_DKIM_PRIVATE_KEY_FILE: set one of them"),
        ({"selector": "fc1", "private_key": "x", "private_key_file": "y"}, "set one of them"),
        ({"private_key": "x"}, "FASTCORE_DKIM_SELECTOR: set it too"),
        ({"selector": "fc 1", "private_key": "x"}, "must be letters, digits and dashes"),
        ({"selector": "fc1", "domain": "a b", "private_key": "x"}, "must be a domain in ASCII"),
    ],
)
def test_an_incomplete_dkim_key_is_named(dkim: dict[str, str], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Dkim.model_validate(dkim)
