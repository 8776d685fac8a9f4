"""Workarounds for FastStream's Kafka consumer. They were seen with version 0.7.8.

| workaround | shortcoming | remove it when FastStream |
|---|---|---|
| `subscribe_without_handler` | its loop commits failed records, and seeks without a delay | does neither |
| `stop_broker` | `stop` raises the errors of subscribers as an ExceptionGroup | suppresses these errors |

docs/decisions/0003 describes the first shortcoming in full.
"""

from typing import Any

from aiokafka import ConsumerRebalanceListener
from faststream import AckPolicy
from faststream.kafka import KafkaBroker

from runtime.logs import logger
from runtime.workarounds.aiokafka import stop_within


def subscribe_without_handler(
    broker: KafkaBroker, *topics: str, group_id: str, listener: ConsumerRebalanceListener, **options: Any
) -> Any:
    """Return a subscriber. After the broker's start, its `consumer` is aiokafka's consumer.

    FastStream starts and stops this consumer, but never reads from it.
    """
    return broker.subscriber(
        *topics,
        group_id=group_id,
        ack_policy=AckPolicy.MANUAL,
        auto_offset_reset="earliest",
        listener=listener,
        **options,
    )


async def stop_broker(broker: KafkaBroker, seconds: float) -> bool:
    """Stop the broker; return False if it raised an error or took longer than `seconds`."""
    try:
        await stop_within(broker.stop(), seconds)
    except Exception as error:  # noqa: BLE001 - whatever it raises, the caller closes the consumer by force
        logger("consume").warning("consumer not stopped in order", reason=type(error).__name__)
        return False
    return True
