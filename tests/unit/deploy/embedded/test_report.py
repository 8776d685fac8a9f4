"""The ready message has everything that a developer needs, and no secret."""

import pytest

from deploy.embedded import report
from deploy.embedded.environment import build_environment, embedded_servers
from deploy.embedded.servers.postgres import DatabaseUrls
from deploy.embedded.settings import Stack
from deploy.embedded.state import State

DATABASE = DatabaseUrls("postgresql://p:one@h/d", "postgresql://o:two@h/d", "postgresql://s:three@h/d")


def _message(configured: dict[str, str], mail_problem: str = "") -> str:
    stack = Stack()
    state = State(
        1,
        "http://localhost:8000",
        embedded_servers(configured),
        build_environment(stack, configured, DATABASE),
        mail_problem,
    )
    return report.ready_message(stack, state, 5)


def test_it_contains_urls_tokens_and_a_curl_command() -> None:
    message = _message({})
    for words in (
        "http://localhost:8000/inbound/leads",
        "http://localhost:8000/admin/docs",
        "http://localhost:8025",
        "dev-admin-token-xyz-123",
        "make psql",
        "/mails",
        "curl -X POST http://localhost:8000/inbound/leads",
        '-H "Authorization: Bearer dev-token-xyz-123"',
    ):
        assert words in message


def test_a_token_that_is_no_example_is_not_shown() -> None:
    message = _message({"FASTCORE_SITE_INGEST_TOKEN": "shop:my-very-own"})
    assert "my-very-own" not in message
    assert "Bearer $FASTCORE_SITE_INGEST_TOKEN" in message


@pytest.mark.parametrize("secret", ["one", "two", "three"])
def test_no_password_is_shown(secret: str) -> None:
    assert f":{secret}@" not in _message({})


def test_an_external_server_is_named_by_its_variable() -> None:
    assert "the server that SMTP_HOST names" in _message({"SMTP_HOST": "mail.example"})


def test_a_mail_server_that_does_not_work_is_named_with_what_to_do() -> None:
    assert "No email is sent" not in _message({"SMTP_HOST": "mail.example"})
    message = _message({"SMTP_HOST": "mail.example", "SMTP_PORT": "2525"}, "smtp connect [refused]")
    for words in (
        "No email is sent:[/] the mail server mail.example:2525 does not work (smtp connect \\[refused])",
        "Leads are accepted and stored",
        "Correct SMTP_HOST, SMTP_PORT",
        "Without SMTP_HOST, emails are in a mailbox on this machine",
    ):
        assert words in message
