"""Ends a consumer of aiokafka whose own stop failed or was cut off. Nothing else of aiokafka is touched.

`AIOKafkaConsumer.stop` that is cancelled half-way leaves its heartbeat running (0.14.0): a member that
reads nothing then keeps its partitions for as long as the process lives. A second stop does nothing.
"""

import asyncio
import contextlib
from typing import Final

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

STEPS: Final = 4


async def close_for_good(consumer: AIOKafkaConsumer, seconds: float) -> None:
    """End the consumer's tasks, leave its group and close its connections, within `seconds`."""
    coordinator = consumer._coordinator  # noqa: SLF001 - aiokafka offers no other way
    names = ("_coordination_task", "_heartbeat_task", "_commit_refresh_task")
    tasks = {task for name in names if (task := getattr(coordinator, name, None)) and not task.done()}
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=seconds / STEPS)
    steps = [
        getattr(coordinator, "_maybe_leave_group", None),  # does nothing where the group was left
        getattr(consumer._fetcher, "close", None),  # noqa: SLF001
        consumer._client.close,  # noqa: SLF001
    ]
    for step in filter(None, steps):
        with contextlib.suppress(KafkaError, OSError, TimeoutError):
            await asyncio.wait_for(step(), seconds / STEPS)
