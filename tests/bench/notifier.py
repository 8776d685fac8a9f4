"""The notifier draining a backlog, held against aiosmtplib alone: mails a second at the same server."""

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Final

import asyncpg

from deploy.embedded.servers.standalone import free_ports
from services.notifier.settings import Settings
from tests.bench.environment import Ground, program
from tests.bench.measure import Limit, Result, in_turns
from tests.support.factories import lead, post
from tests.support.processes import ROOT

CONNECTIONS: Final[int] = Settings.model_fields["connections"].default


@contextlib.asynccontextmanager
async def running_sink() -> AsyncIterator[int]:
    """Run the mail server that takes everything; answer its port."""
    port = free_ports(1)[0]
    process = subprocess.Popen(  # noqa: ASYNC220 - started here, waited for below
        [sys.executable, "-m", "tests.bench.smtp_sink", str(port)], cwd=ROOT
    )
    try:
        for _ in range(200):
            with contextlib.suppress(OSError):
                await said(port, "RSET")
                break
            await asyncio.sleep(0.1)
        yield port
    finally:
        process.terminate()
        process.wait(10)


async def said(port: int, command: str) -> str:
    """Say one line to the sink and answer what it answers."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"{command}\r\n".encode())
    await reader.readline()
    answer = (await reader.readline()).decode()[4:]
    writer.close()
    return answer


async def taken(port: int, count: int) -> float:
    """Wait until the sink has taken so many mails; answer how many a second it took."""
    async with asyncio.timeout(600):
        while True:
            number, seconds = (await said(port, "XTAKEN")).split()
            if int(number) >= count:
                return (int(number) - 1) / float(seconds)
            await asyncio.sleep(0.1)


def environment(ground: Ground, port: int) -> dict[str, str]:
    """Say what a notifier needs to know."""
    return {
        "KAFKA_BOOTSTRAP_SERVERS": ground.stack.bootstrap_servers,
        "SMTP_HOST": "127.0.0.1",
        "SMTP_PORT": str(port),
        "SMTP_TLS": "false",
        "FROM_EMAIL": "hello@fast.example",
        "ADMIN_EMAIL": "boss@fast.example",
        "FASTCORE_NOTIFIER_WELCOMES_PER_SITE_AND_HOUR": "1000000",
    }


async def compare(ground: Ground) -> list[Result]:
    """Send as many mails both ways, in turns."""
    leads = 300 if ground.quick else 2_000
    ground.say(f"notifier: {2 * leads} mails on {CONNECTIONS} connections")
    async with running_sink() as port:

        async def ours() -> float:
            await said(port, "XCLEAR")
            kafka, database = await ground.stack.new_topics(), await ground.stack.new_database()
            await post(kafka, *(lead() for _ in range(leads)))
            where = {"KAFKA_TOPIC_PREFIX": kafka.topic_prefix, "DATABASE_URL": database.service}
            async with program(ground, "notifier", environment(ground, port) | where):
                rate = await taken(port, 2 * leads)
            await _all_settled(database.owner, 2 * leads)
            await ground.stack.drop_topics(kafka)
            await ground.stack.drop_database(database)
            return rate

        async def alone() -> float:
            await said(port, "XCLEAR")
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tests.bench.references.bare_mailer",
                str(port), str(2 * leads), str(CONNECTIONS), cwd=ROOT,
            )  # fmt: skip
            if await process.wait():
                raise RuntimeError("aiosmtplib alone did not send them all")
            return await taken(port, 2 * leads)

        rates = await in_turns({"ours": ours, "alone": alone}, ground.rounds)
    against = "aiosmtplib alone, on as many connections"
    return [
        Result(
            "notifier, mails a second", against, "mails/s", rates["ours"], rates["alone"], Limit(at_least=0.7)
        )
    ]


async def _all_settled(url: str, count: int) -> None:
    """Fail where a mail is not written down as sent, once."""
    connection = await asyncpg.connect(url)
    sent = await connection.fetchval("SELECT count(*) FROM email_delivery WHERE state = 'sent'")
    await connection.close()
    if sent != count:
        raise RuntimeError(f"{sent} of {count} mails are settled as sent")
