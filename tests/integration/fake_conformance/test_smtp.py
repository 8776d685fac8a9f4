"""The scripted SMTP server replies like Postfix: the same dialogs run on both."""

import asyncio
from collections.abc import Iterator

import pytest

from tests.support.mail.postfix import Postfix, postfix
from tests.support.mail.smtp import SmtpServer

HELLO, SENDER, BODY = "EHLO fast.example", "MAIL FROM:<hello@fast.example>", "x\r\n."
ADA, BOSS, NOBODY = (f"RCPT TO:<{name}@fast.example>" for name in ("ada", "boss", "nobody"))
DIALOGS = {
    "two mails": [HELLO, SENDER, ADA, "DATA", BODY, SENDER, BOSS, "DATA", BODY, "QUIT"],
    "refused recipient": [HELLO, SENDER, NOBODY, ADA, "DATA", BODY, "QUIT"],
    "only refused recipients": [HELLO, SENDER, NOBODY, "RSET", SENDER, ADA, "QUIT"],
    "no sender": [HELLO, ADA, "NOOP", "QUIT"],
    "second sender": [HELLO, SENDER, SENDER, "QUIT"],
    "reset": [HELLO, SENDER, "RSET", ADA],
}


async def reply_codes(port: int, commands: list[str]) -> list[str]:
    """Return the code of the greeting and of the reply to each command."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    codes = []
    try:
        for command in [None, *commands]:
            if command:
                writer.write(command.encode() + b"\r\n")
            while (line := await reader.readline())[3:4] == b"-":
                pass
            codes.append(line[:3].decode())
    finally:
        writer.close()
    return codes


@pytest.fixture(scope="module")
def real_smtp() -> Iterator[Postfix]:
    with postfix() as running:
        yield running


@pytest.mark.parametrize("commands", DIALOGS.values(), ids=DIALOGS)
async def test_smtp_fake_replies_like_postfix(real_smtp: Postfix, commands: list[str]) -> None:
    fake = SmtpServer(always={"rcpt:nobody@fast.example": "550 5.1.1 unknown"})
    await fake.start()
    try:
        replies = await reply_codes(fake.port, commands)
    finally:
        await fake.stop()
    assert replies == await reply_codes(real_smtp.ports["recipient"], commands)
