"""The MIME builder: what a parser reads from its bytes, and the headers that it refuses."""

import email
import email.policy
from email.message import EmailMessage

import pytest

from services.notifier.mail.mime import HeaderInjectionError, build_mime_message

HEADERS = {
    "From": "hello@fast.example",
    "Subject": "New lead",
    "Message-ID": "<01234567-89ab-7def-8123-456789abcdef.welcome@fast.example>",
}


def parsed(content: bytes) -> EmailMessage:
    message = email.message_from_bytes(content, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    return message


@pytest.mark.parametrize("subject", ["New lead", "Grüße aus Köln", "a " * 600, "Zoë " * 400])
def test_a_parser_reads_the_given_headers(subject: str) -> None:
    message = parsed(build_mime_message(HEADERS | {"Subject": subject}, "text", "<p>html</p>", utf8=False))
    assert list(message.keys()) == [*HEADERS, "MIME-Version", "Content-Type"]
    assert str(message["Subject"]).split() == subject.split()


@pytest.mark.parametrize(
    "value", ["x\r\nBcc: victim@example.net", "x\nBcc: victim@example.net", "x\r\n\r\nbody", "x\rBcc: y"]
)
@pytest.mark.parametrize("utf8", [False, True])
def test_a_header_with_a_line_break_is_refused(value: str, utf8: bool) -> None:
    with pytest.raises(HeaderInjectionError):
        build_mime_message(HEADERS | {"Subject": value}, "text", "<p>html</p>", utf8=utf8)


def test_both_parts_keep_their_text() -> None:
    message = parsed(build_mime_message(HEADERS, "Grüße\n.\nfrom =_fastcore_", "<p>ü</p>", utf8=False))
    texts = [
        body.get_content().replace("\r\n", "\n")
        for kind in ("plain", "html")
        if (body := message.get_body((kind,)))
    ]
    assert texts == ["Grüße\n.\nfrom =_fastcore_\n", "<p>ü</p>\n"]
