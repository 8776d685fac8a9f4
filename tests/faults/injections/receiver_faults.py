"""Faults of the destination: its responses, its certificate, its name, and a kill during a request."""

import asyncio
import contextlib
import random
import time

from tests.faults.environment import Action, Environment
from tests.faults.injections.name_service import RECEIVER, write_address
from tests.faults.receiver import BEHAVIOURS

METADATA = "169.254.169.254"


def answers(name: str) -> Action:
    """For some seconds many responses of the receiver are wrong in this way, and at least three.

    If another fault keeps the service from sending, waits for it, at most 12 s more.
    """

    async def action(environment: Environment, rng: random.Random) -> None:
        receiver = environment.receiver
        async with environment.exclusive("receiver"):
            receiver.behaviour, receiver.share = BEHAVIOURS[name], rng.uniform(0.3, 1)
            environment.log_event(f"the receiver {name}, {receiver.share:.0%} of the requests")
            before = receiver.broken[name]
            await environment.retry_deliveries()  # an earlier fault may have paused the destination
            await asyncio.sleep(rng.uniform(4, 8))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(12):
                    while receiver.broken[name] < before + 3:  # noqa: ASYNC110 - a test's receiver
                        await asyncio.sleep(0.1)
            await receiver.heal()
            count = receiver.broken[name] - before
            environment.log_event(f"the receiver works again, after {count} such responses")

    return action


async def stopped(environment: Environment, rng: random.Random) -> None:
    """The receiver refuses connections for some seconds."""
    async with environment.exclusive("receiver"):
        await environment.receiver.stop()
        environment.log_event("the receiver refuses connections")
        await asyncio.sleep(rng.uniform(3, 8))
        await environment.receiver.start()
        environment.log_event("the receiver works again")


async def expired_certificate(environment: Environment, rng: random.Random) -> None:
    """New connections see a certificate that expired yesterday."""
    async with environment.exclusive("receiver"):
        receiver = environment.receiver
        receiver.use_certificate(expired=True)
        await receiver.stop()  # ends the open connections
        await receiver.start()
        environment.log_event("the receiver's certificate is expired")
        await asyncio.sleep(rng.uniform(4, 8))
        receiver.use_certificate(expired=False)
        environment.log_event("the receiver has a valid certificate again")


def name_points_to(address: str) -> Action:
    """The receiver's name moves to this address, or to none, for some seconds."""

    async def action(environment: Environment, rng: random.Random) -> None:
        async with environment.exclusive("receiver"):
            write_address(environment.names, address)
            await environment.receiver.stop()  # new connections need a lookup
            await environment.receiver.start()
            environment.log_event(f"the receiver's name has the address {address or 'of nobody'}")
            await asyncio.sleep(rng.uniform(4, 8))
            refused = await environment.sql(
                "SELECT reason, count(*) FROM webhook_delivery WHERE state = 'failed' GROUP BY reason"
            )
            write_address(environment.names, RECEIVER)
            reasons = ", ".join(f"{row['count']} {row['reason']}" for row in refused)
            environment.log_event(f"the receiver's name is right again; failed: {reasons or 'nothing'}")

    return action


async def kill_webhooks_mid_request(environment: Environment, rng: random.Random) -> None:
    """The receiver has processed requests, and webhooks dies before it has their responses."""
    async with environment.exclusive("receiver", "webhooks"):
        receiver = environment.receiver
        receiver.behaviour, receiver.share = BEHAVIOURS["hangs before the headers"], 1.0
        before, deadline = sum(receiver.arrivals.requests.values()), time.monotonic() + 10
        while sum(receiver.arrivals.requests.values()) == before and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        await asyncio.sleep(rng.uniform(0, 1))
        environment.services["webhooks"].kill()
        waiting = sum(receiver.arrivals.requests.values()) - before
        environment.log_event(f"kill -9 webhooks, which waits for {waiting} responses")
        await receiver.heal()
        await asyncio.sleep(rng.uniform(0.2, 2))
        environment.services["webhooks"].start()
