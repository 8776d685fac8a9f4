"""`python -m tests.bench.references.bare_mailer`: aiosmtplib alone sends one prepared mail repeatedly.

It uses as many persistent connections as the notifier. It composes no mail and records nothing.
"""

import asyncio
from datetime import UTC, datetime
from typing import Annotated

import aiosmtplib
import typer
import uvloop

from services.notifier.mail.message import Identity, Mail, compose
from tests.support.factories import lead


async def _send(port: int, count: int, connections: int, mails: list[Mail]) -> None:
    left = iter(range(count))

    async def work() -> None:
        client = aiosmtplib.SMTP(
            hostname="127.0.0.1", port=port, start_tls=False, local_hostname="fast.example"
        )
        async with client:
            for number in left:
                mail = mails[number % len(mails)]
                await client.sendmail(mail.sender, list(mail.recipients), mail.content)

    await asyncio.gather(*(work() for _ in range(connections)))


def main(
    port: Annotated[int, typer.Argument(help="Of the mail server, on 127.0.0.1.")],
    count: Annotated[int, typer.Argument(help="How many mails.")],
    connections: Annotated[int, typer.Argument(help="How many at once.")],
) -> None:
    """Send."""
    identity = Identity("hello@fast.example", "FAST Tech Services", ("boss@fast.example",))
    made = lead()
    mails = [compose(kind, made, identity, datetime.now(UTC)) for kind in ("welcome", "admin_alert")]
    uvloop.run(_send(port, count, connections, mails))


if __name__ == "__main__":
    typer.run(main)
