"""The MIME builder: what a parser reads from its bytes, and the headers that it refuses."""

import email
import email.policy
from email.header import decode_header, make_header
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.notifier.mail.mail_templates import subject_line
from services.notifier.mail.message import Identity, sender_header
from services.notifier.mail.mime import HeaderInjectionError, _encode_header, build_mime_message

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


def lines_of(content: bytes, name: str) -> list[str]:
    """The raw lines of a header."""
    head = content.decode("ascii").partition("\r\n\r\n")[0].replace("\r\n ", "\0 ")
    (header,) = [line for line in head.split("\r\n") if line.startswith(f"{name}:")]
    return header.split("\0")


def check_words(lines: list[str]) -> None:
    """Check the lengths that RFC 5322 permits for a line, and RFC 2047 for an encoded word."""
    assert all(len(line) <= 998 for line in lines)
    assert all(len(word) <= 75 for line in lines for word in line.split() if word.startswith("=?"))


@given(st.text(min_size=1, max_size=200))
def test_every_subject_is_read_as_it_is_and_its_words_are_short(text: str) -> None:
    subject = subject_line(text) or "x"
    content = build_mime_message(HEADERS | {"Subject": subject}, "text", "<p>html</p>", utf8=False)
    check_words(lines_of(content, "Subject"))
    message = parsed(content)
    assert str(message["Subject"]) == subject
    assert not message["Subject"].defects


@pytest.mark.parametrize(
    "name", ["Студия Север, агентство маркетинга и рекламы", "Büro", "名" * 200, "\U0001f600" * 200]
)
def test_regression_encoded_words_of_a_long_name_are_short(name: str) -> None:
    sender = sender_header(Identity("hello@fast.example", name, ("boss@fast.example",)))
    subject = subject_line(f"Vielen Dank für Ihre Anfrage bei {name}")
    headers = HEADERS | {"From": sender, "Subject": subject}
    content = build_mime_message(headers, "text", "<p>html</p>", utf8=False)
    check_words(lines_of(content, "From"))
    check_words(lines_of(content, "Subject"))
    message = parsed(content)
    # Python's newer parser may keep the blank between two encoded words of a name (cpython #128110).
    assert str(make_header(decode_header(sender))) == f"{name} <hello@fast.example>"
    (mailbox,) = message["From"].addresses
    assert mailbox.addr_spec == "hello@fast.example"
    assert str(message["Subject"]) == subject


def test_regression_different_subjects_do_not_slow_down_other_headers() -> None:
    _encode_header.cache_clear()
    for number in range(100):
        build_mime_message(HEADERS | {"Subject": f"Größe {number}"}, "text", "<p>html</p>", utf8=False)
    assert _encode_header.cache_info().misses == 0


@pytest.mark.parametrize("value", ["ü\r\nBcc: victim@example.net", "ü\r\n Bcc", "ü\0"])
def test_an_encoded_subject_hides_no_line_break(value: str) -> None:
    with pytest.raises(HeaderInjectionError):
        build_mime_message(HEADERS | {"Subject": value}, "text", "<p>html</p>", utf8=False)
