"""An aiokafka producer that fails as planned. fake_conformance runs the same cases on both."""

import asyncio
from types import SimpleNamespace
from typing import Any

from aiokafka.errors import KafkaConnectionError


class FakeProducer:
    """A producer. `plan` lists the error of each producer, in the order of their creation."""

    created: list["FakeProducer"]
    plan: list[Exception | None]

    def __init__(self, **options: Any) -> None:
        self.options = options
        self.fault = self.plan[len(self.created)] if len(self.created) < len(self.plan) else None
        self.stopped = False
        self.client = self.cluster = self
        self.answers = True
        self.created.append(self)

    async def start(self) -> None:
        if isinstance(self.fault, KafkaConnectionError):
            raise self.fault
        if isinstance(self.fault, BlockingIOError):
            await asyncio.Event().wait()  # the broker does not answer

    async def stop(self) -> None:
        self.stopped = True

    async def force_metadata_update(self) -> bool:
        return self.answers

    def partitions_for_topic(self, _: str) -> None:
        """Return None: with an unknown topic, the publisher calls `send`."""

    async def send(self, topic: str, **_: Any) -> asyncio.Future[SimpleNamespace]:
        delivery = asyncio.get_running_loop().create_future()
        if isinstance(self.fault, TimeoutError):
            return delivery  # never answered
        if self.fault:
            delivery.set_exception(self.fault)
        else:
            delivery.set_result(SimpleNamespace(topic=topic))
        return delivery
