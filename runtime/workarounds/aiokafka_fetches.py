"""Lets an idle consumer's fetch wait at the broker without delaying other requests.

Seen with aiokafka 0.14.0.

A broker answers a fetch as soon as it has a record. Without records it answers after `fetch_max_wait_ms`, and
aiokafka fetches again. A short wait makes an idle consumer, and the broker, work all the time. A long wait
delays others in three cases (docs/decisions/0062):

- A new record of a partition that the fetch leaves out, because it is paused or its records are buffered:
  aiokafka sends a broker one fetch at a time. Such a fetch waits only `fetch_max_wait_ms`.
- A request for metadata or offsets: a broker handles one request of a connection at a time. So fetches have a
  connection of their own.
- A fetch after a seek or a rebalance, for both reasons. The connection of the abandoned fetch is closed.

It uses aiokafka's private names: `tests/integration/kafka/test_long_fetches.py` fails if a new version
changes them. Remove it when aiokafka has a separate connection for fetches (no issue is known).
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, NodeNotReadyError
from aiokafka.protocol.fetch import FetchRequest

from runtime.workarounds.aiokafka_metadata import abort_connection

# aiokafka keeps a connection for each node and group, and knows the groups 0 and 1.
_FETCHES: Final = 2
# Some turns of the event loop: until then the fetcher knows that an abandoned fetch has ended.
_WAKE_SECONDS: Final = 0.01


class LongFetches:
    """Changes the fetches of one started consumer: they wait up to `seconds` if they leave nothing out.

    `on_answer` is called after each answer, once the consumer has it.
    """

    def __init__(
        self, consumer: AIOKafkaConsumer, seconds: float, on_answer: Callable[[], None] = lambda: None
    ) -> None:
        self._client: Any = consumer._client  # noqa: SLF001 - aiokafka offers no other way
        self._fetcher: Any = consumer._fetcher  # noqa: SLF001
        self._wait_ms = int(seconds * 1000)
        self._on_answer = on_answer
        self._waiting = set[Any]()  # the nodes with a fetch that may wait long
        self._abandoned = 0
        if self._fetcher is None:
            return
        self._plan = self._fetcher._get_actions_per_node  # noqa: SLF001
        self._send = self._client.send
        self._fetcher._get_actions_per_node = self._plan_fetches  # noqa: SLF001
        self._client.send = self._send_fetch

    def abandon(self) -> None:
        """End the fetches that wait, so that the next ones begin at the current positions at once."""
        if self._waiting:
            self._abandoned += 1
            for node in tuple(self._waiting):
                self._close(node)
            # The fetcher may miss the end of a fetch, and would plan the next one 0.2 s later.
            asyncio.get_running_loop().call_later(_WAKE_SECONDS, self._wake)

    def _wake(self) -> None:
        self._fetcher._notify(self._fetcher._wait_consume_future)  # noqa: SLF001

    def _plan_fetches(self, assignment: Any) -> Any:
        """Plan as aiokafka does, and let each fetch wait long that leaves no partition of its node out."""
        requests, resets, timeout, *rest = self._plan(assignment)
        by_node = defaultdict[Any, set[TopicPartition]](set)
        for each in assignment.tps:
            by_node[self._fetcher._select_read_replica(each)].add(each)  # noqa: SLF001
        waiting = set(self._waiting)
        for node, request in requests:
            if _partitions(request) == by_node[node]:
                request._max_wait_ms = self._wait_ms  # noqa: SLF001
                waiting.add(node)
        # aiokafka plans again after this time at the latest, because it may miss the end of a fetch. While
        # each node has a fetch that waits, there is nothing to miss.
        if timeout == self._fetcher._fetcher_timeout and by_node.keys() <= waiting:  # noqa: SLF001
            timeout = self._wait_ms / 1000
        return requests, resets, timeout, *rest

    async def _send_fetch(self, node: Any, request: Any, **options: Any) -> Any:
        """Send a fetch over a connection of its own, and any other request as before.

        Raises `CancelledError` if the fetch was abandoned: then the fetcher neither logs an error nor waits
        before the next one.
        """
        if not isinstance(request, FetchRequest):
            return await self._send(node, request, **options)
        abandoned = self._abandoned
        # Connect first: only a request that was sent can be ended.
        if not await self._client.ready(node, group=_FETCHES):
            raise NodeNotReadyError(f"no connection to node {node}")
        if abandoned != self._abandoned:
            raise asyncio.CancelledError
        if request._max_wait_ms >= self._wait_ms:  # noqa: SLF001
            self._waiting.add(node)
        try:
            answer = await self._send(node, request, group=_FETCHES)
        except asyncio.CancelledError:  # a rebalance, or the end of the consumer
            self._close(node)
            raise
        except KafkaError:
            if abandoned != self._abandoned:
                raise asyncio.CancelledError from None
            raise
        else:
            asyncio.get_running_loop().call_soon(self._on_answer)  # the fetcher reads the answer before
            return answer
        finally:
            self._waiting.discard(node)

    def _close(self, node: Any) -> None:
        connections: Mapping[Any, Any] = self._client._conns  # noqa: SLF001
        if connection := connections.get((node, _FETCHES)):
            abort_connection(connection)


def _partitions(request: FetchRequest) -> set[TopicPartition]:
    return {
        TopicPartition(topic, partition)
        for topic, partitions in request.topics
        for partition, *_ in partitions
    }
