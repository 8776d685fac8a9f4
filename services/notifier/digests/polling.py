"""Sends digests at a fixed interval, also through outages."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

from runtime.failures import Failure
from runtime.tasks import seconds_to_next


async def send_repeatedly(
    send_due: Callable[[], Awaitable[object]], seconds: float, log: Any, message: str
) -> NoReturn:
    """Call `send_due` every `seconds` until cancelled.

    After a failure, log the warning `message` once, until a call succeeds: readiness reports the outage.
    """
    failing = False
    while True:
        try:
            await send_due()
            failing = False
        except Failure as failure:
            if not failing:
                log.warning(message, reason=failure.reason)
            failing = True
        await asyncio.sleep(seconds_to_next(seconds))
