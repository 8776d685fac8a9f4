"""What the start of the stack makes of a notifier that is not ready."""

import httpx
import pytest

from deploy.embedded.startup import mail_problem

SMTP = {"ok": False, "reason": "smtp connect refused"}


@pytest.mark.parametrize(
    ("parts", "problem"),
    [
        ({"smtp": SMTP, "database": {"ok": True, "reason": ""}}, "smtp connect refused"),
        ({"smtp": SMTP, "database": {"ok": False, "reason": "away"}}, ""),
        ({"smtp": SMTP, "consumer": {"ok": False, "reason": "paused: smtp"}}, "smtp connect refused"),
        ({"smtp": SMTP, "consumer": {"ok": False, "reason": "connecting"}}, ""),
        ({"smtp": {"ok": True, "reason": ""}}, ""),
        ({}, ""),
    ],
)
def test_only_the_mail_server_may_fail(parts: dict[str, object], problem: str) -> None:
    assert mail_problem(httpx.Response(503, json={"parts": parts})) == problem


@pytest.mark.parametrize("body", [b"", b"[]", b'{"parts": {"smtp": {}}}', b"<html>"])
def test_another_answer_is_no_problem_of_the_mail_server(body: bytes) -> None:
    assert mail_problem(httpx.Response(502, content=body)) == ""
