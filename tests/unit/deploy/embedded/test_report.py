"""The ready message says everything that one needs, and no secret of one's own."""

import pytest

from deploy.embedded import report
from deploy.embedded.environment import assemble, embedded_parts
from deploy.embedded.servers.postgres import Urls
from deploy.embedded.settings import Stack
from deploy.embedded.state import State

OURS = Urls("postgresql://p:one@h/d", "postgresql://o:two@h/d", "postgresql://s:three@h/d")


def _message(given: dict[str, str]) -> str:
    stack = Stack()
    state = State(1, "http://localhost:8000", embedded_parts(given), assemble(stack, given, OURS))
    return report.ready(stack, state, 5)


def test_it_names_urls_tokens_mails_and_a_line_to_paste() -> None:
    message = _message({})
    for words in (
        "http://localhost:8000/inbound/leads",
        "http://localhost:8000/admin/docs",
        "http://localhost:8025",
        "dev-admin-token-xyz-123",
        "make psql",
        "/mails",
        'curl -X POST http://localhost:8000/inbound/leads -H "Authorization: Bearer dev-token-xyz-123"',
    ):
        assert words in message


def test_a_token_of_ones_own_is_not_shown() -> None:
    message = _message({"FASTCORE_SITE_INGEST_TOKEN": "shop:my-very-own"})
    assert "my-very-own" not in message
    assert "Bearer $FASTCORE_SITE_INGEST_TOKEN" in message


@pytest.mark.parametrize("secret", ["one", "two", "three"])
def test_no_password_is_shown(secret: str) -> None:
    assert f":{secret}@" not in _message({})


def test_a_replaced_part_is_said_to_be_elsewhere() -> None:
    assert "the server that SMTP_HOST names" in _message({"SMTP_HOST": "mail.example"})
