"""Compares the notifier that drains a backlog with aiosmtplib alone, in mails per second."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from typing import Final

import asyncpg

from deploy.embedded.servers.standalone import free_ports
from services.notifier.settings import Settings
from tests.bench.environment import BenchEnvironment, input_process, program
from tests.bench.measure import Limit, Result, in_turns
from tests.bench.placement import running_on
from tests.support.factories import lead, post
from tests.support.services.processes import ROOT

CONNECTIONS: Final[int] = Settings.model_fields["connections"].default


@contextlib.asynccontextmanager
async def running_sink() -> AsyncIterator[int]:
    """Run the SMTP sink, and return its port."""
    port = free_ports(1)[0]
    with input_process("smtp_sink", str(port)):
        for _ in range(200):
            with contextlib.suppress(OSError):
                await send_command(port, "RSET")
                break
            await asyncio.sleep(0.1)
        yield port


async def send_command(port: int, command: str) -> str:
    """Send one command to the SMTP sink and return its reply."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"{command}\r\n".encode())
    await reader.readline()
    answer = (await reader.readline()).decode()[4:]
    writer.close()
    return answer


async def wait_until_accepted(port: int, count: int) -> float:
    """Wait until the sink has accepted this many mails; return mails per second."""
    async with asyncio.timeout(600):
        while True:
            number, seconds = (await send_command(port, "XTAKEN")).split()
            if int(number) >= count:
                return (int(number) - 1) / float(seconds)
            await asyncio.sleep(0.1)


def environment(bench: BenchEnvironment, port: int) -> dict[str, str]:
    """Return the environment variables of a notifier."""
    return {
        "KAFKA_BOOTSTRAP_SERVERS": bench.stack.bootstrap_servers,
        "SMTP_HOST": "127.0.0.1",
        "SMTP_PORT": str(port),
        "SMTP_TLS": "false",
        "FROM_EMAIL": "hello@fast.example",
        "ADMIN_EMAIL": "boss@fast.example",
        "FASTCORE_NOTIFIER_WELCOMES_PER_SITE_AND_HOUR": "1000000",
        "FASTCORE_NOTIFIER_ALERT_BURST": "1000000",  # counted, but never reached
    }


async def compare(bench: BenchEnvironment) -> list[Result]:
    """Send the same number of mails with each, in turns."""
    leads = 300 if bench.quick else 2_000
    bench.say(f"notifier: {2 * leads} mails on {CONNECTIONS} connections")
    async with running_sink() as port:

        async def ours() -> float:
            await send_command(port, "XCLEAR")
            kafka, database = await bench.stack.new_topics(), await bench.stack.new_database()
            await post(kafka, *(lead() for _ in range(leads)))
            where = {"KAFKA_TOPIC_PREFIX": kafka.topic_prefix, "DATABASE_URL": database.service}
            async with program(bench, "notifier", environment(bench, port) | where):
                rate = await wait_until_accepted(port, 2 * leads)
            await _check_all_sent(database.owner, 2 * leads)
            await bench.stack.drop_topics(kafka)
            await bench.stack.drop_database(database)
            return rate

        async def alone() -> float:
            await send_command(port, "XCLEAR")
            with running_on(bench.measured):
                process = await asyncio.create_subprocess_exec(
                    sys.executable, "-m", "tests.bench.references.bare_mailer",
                    str(port), str(2 * leads), str(CONNECTIONS), cwd=ROOT,
                )  # fmt: skip
            if await process.wait():
                raise RuntimeError("aiosmtplib alone did not send them all")
            return await wait_until_accepted(port, 2 * leads)

        rates = await in_turns({"ours": ours, "alone": alone}, bench.turns)
    against = "aiosmtplib alone, on as many connections"
    return [
        Result(
            "notifier, mails a second", against, "mails/s", rates["ours"], rates["alone"], Limit(at_least=0.6)
        )
    ]


async def _check_all_sent(url: str, count: int) -> None:
    """Fail unless each mail is recorded as sent exactly once."""
    connection = await asyncpg.connect(url)
    sent = await connection.fetchval("SELECT count(*) FROM email_delivery WHERE state = 'sent'")
    await connection.close()
    if sent != count:
        raise RuntimeError(f"{sent} of {count} mails have the outcome sent")
