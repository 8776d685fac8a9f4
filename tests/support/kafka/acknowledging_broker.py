"""A function in place of Kafka's connections: it acknowledges each produce request, and keeps the last."""

import asyncio
from typing import Any

from aiokafka.protocol.metadata import MetadataRequest, MetadataResponse_v1
from aiokafka.protocol.produce import ProduceRequest, ProduceResponse_v7
from aiokafka.protocol.transaction import InitProducerIdResponse_v0

from contracts import topics

_NODE = 0
_VERSIONS = {0: (7, 7), 3: (1, 1), 22: (0, 0)}  # Produce, Metadata, InitProducerId


class Connection:
    """Stands for an `AIOKafkaConnection`. It encodes the requests as aiokafka does, and drops the bytes.

    It acknowledges nothing while `silent` is True.
    """

    silent = False
    last_produced: Any = None
    """The topics of the last produce request, each with its partitions and their batches."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._offset = 0

    def connected(self) -> bool:
        """Return True."""
        return True

    def send(self, request: Any, **_: bool) -> asyncio.Future[Any]:
        """Return a future of the response, which arrives in the next turn of the loop."""
        prepared = request.prepare(_VERSIONS)
        header = prepared.build_request_header(correlation_id=1, client_id="bench")
        b"".join([header.encode(), prepared.encode()])
        response = self._loop.create_future()
        if not (self.silent and isinstance(request, ProduceRequest)):
            self._loop.call_soon(response.set_result, self._respond(request, prepared))
        return response

    def _respond(self, request: Any, prepared: Any) -> Any:
        if isinstance(request, MetadataRequest):
            partitions = [(0, number, _NODE, [_NODE], [_NODE]) for number in range(topics.PARTITIONS)]
            named = [(0, each.name, False, partitions) for each in topics.ALL]
            return MetadataResponse_v1([(_NODE, "localhost", 9092, None)], _NODE, named)
        if not isinstance(request, ProduceRequest):
            return InitProducerIdResponse_v0(0, 0, 1, 0)
        self._offset, Connection.last_produced = self._offset + 1, prepared.topics
        acknowledged = [
            (topic, [(partition, 0, self._offset, -1, 0) for partition, _ in batches])
            for topic, batches in prepared.topics
        ]
        return ProduceResponse_v7(acknowledged, 0)

    def close(self, **_: Any) -> asyncio.Future[None]:
        """Return a future that is done."""
        closed = self._loop.create_future()
        closed.set_result(None)
        return closed


async def connect(*_: Any, **__: Any) -> Connection:
    """Return a connection. Takes the place of `aiokafka.client.create_conn`.

    Its broker has all topics of the pipeline, without a prefix.
    """
    return Connection()
