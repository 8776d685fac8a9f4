"""What aiokafka makes of header names that are not UTF-8, and of a coordinator's errors."""

import asyncio
import gc
import socket
import ssl
import threading
from typing import Any, cast

import pytest
import trustme
from aiokafka import TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.conn import AIOKafkaConnection
from aiokafka.consumer import fetcher
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.errors import (
    CommitFailedError,
    GroupAuthorizationFailedError,
    SaslAuthenticationFailed,
    UnknownMemberIdError,
)
from aiokafka.protocol.commit import OffsetFetchResponse_v3
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy

from runtime.kafka.broker import build_broker
from runtime.settings import Kafka
from runtime.workarounds.aiokafka import TolerantRecords
from runtime.workarounds.aiokafka_metadata import enable_rebootstrap


class Name(str):
    """A header name that is encoded as bytes that are not UTF-8."""

    __slots__ = ()

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        del encoding, errors
        return b"\xff\xfe"


def answer(*headers: list[tuple[str, bytes]], codec: int) -> bytes:
    builder = _DefaultRecordBatchBuilderPy(
        magic=2,
        compression_type=codec,
        is_transactional=0,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=1 << 20,
    )
    for offset, each in enumerate(headers):
        builder.append(offset, 1, b"key", b"value %d" % offset, each)
    return bytes(builder.build())


@pytest.mark.parametrize("codec", [0, 1], ids=["plain", "gzip"])
def test_regression_invalid_header_name_hides_no_record(codec: int) -> None:
    good: list[tuple[str, bytes]] = [("content-type", b"application/json")]
    data = answer(good, [(Name("odd"), b"\xff"), *good], good, codec=codec)
    records = TolerantRecords(data)
    records_by_offset: dict[int, Any] = {}
    while records.has_next():
        for record in records.next_batch():
            records_by_offset.setdefault(
                record.offset, record
            )  # as the fetcher does, which skips records that it has
    assert [records_by_offset[n].value for n in range(3)] == [b"value 0", b"value 1", b"value 2"]
    assert [records_by_offset[n].headers for n in range(3)] == [good, [("\\xff\\xfe", b"\xff"), *good], good]


def test_consumers_accept_any_header_name() -> None:
    build_broker(Kafka(bootstrap_servers="127.0.0.1:1"), "test")
    assert fetcher.MemoryRecords is TolerantRecords


def coordinator(monkeypatch: pytest.MonkeyPatch, *answers: OffsetFetchResponse_v3) -> GroupCoordinator:
    """Return aiokafka's client of a coordinator that gives these answers, one after the other."""
    waiting = list(answers)

    async def answer_next(*_: Any, **__: Any) -> OffsetFetchResponse_v3:
        return waiting.pop(0)

    async def is_known() -> None:
        made.coordinator_id = 0

    monkeypatch.setattr("runtime.workarounds.aiokafka._send", answer_next)
    build_broker(Kafka(bootstrap_servers="127.0.0.1:1"), "test")
    made = cast("Any", GroupCoordinator.__new__(GroupCoordinator))
    made.group_id, made.coordinator_id, made._retry_backoff_ms = "group", 0, 1
    made._client = AIOKafkaClient.__new__(AIOKafkaClient)
    made.ensure_coordinator_known = is_known
    made._coordinator_dead_fut = asyncio.get_running_loop().create_future()
    return cast("GroupCoordinator", made)


@pytest.mark.parametrize("is_abandoned", [True, False])
async def test_a_failed_commit_is_logged_only_by_its_caller(
    monkeypatch: pytest.MonkeyPatch, is_abandoned: bool
) -> None:
    refused, logged = asyncio.Event(), list[Any]()

    async def commit(*_: Any) -> None:
        await refused.wait()
        raise UnknownMemberIdError("group")

    monkeypatch.setattr("runtime.workarounds.aiokafka._commit", commit)
    client = cast("Any", coordinator(monkeypatch))
    client._commit_lock = asyncio.Lock()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: logged.append(context))
    commits = asyncio.create_task(client.commit_offsets(None, {}))
    await asyncio.sleep(0.01)
    if is_abandoned:
        commits.cancel()
    else:
        refused.set()
    with pytest.raises(asyncio.CancelledError if is_abandoned else CommitFailedError):
        await commits
    del commits
    refused.set()
    await asyncio.sleep(0.01)
    gc.collect()
    assert logged == []


COMMITTED = OffsetFetchResponse_v3(0, [("t", [(0, 7, "", 0)])], 0)


@pytest.mark.parametrize("code", [14, 15, 16], ids=["loading", "not available", "moved"])
async def test_regression_busy_coordinator_is_queried_again(
    monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    # Its answer without partitions counted as "nothing is committed", and the topic was read from its start.
    client = coordinator(monkeypatch, OffsetFetchResponse_v3(0, [], code), COMMITTED)
    committed = await client.fetch_committed_offsets([TopicPartition("t", 0)])
    assert {part.partition: each.offset for part, each in committed.items()} == {0: 7}


async def test_refused_offset_fetch_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    client = coordinator(monkeypatch, OffsetFetchResponse_v3(0, [], 30))
    with pytest.raises(GroupAuthorizationFailedError):
        await client.fetch_committed_offsets([TopicPartition("t", 0)])


async def test_regression_cancelled_bootstrap_closes_its_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    # The socket stayed open, and a later test failed because of it.
    closed = asyncio.Event()

    async def answer_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1024):
            requested.set()
        closed.set()
        writer.close()

    async def skip_version_lookup(connection: AIOKafkaConnection) -> None:
        connection._versions = {3: (0, 5)}  # of metadata requests

    requested = asyncio.Event()
    monkeypatch.setattr(AIOKafkaConnection, "_do_version_lookup", skip_version_lookup)
    enable_rebootstrap()
    async with await asyncio.start_server(answer_nothing, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        client = AIOKafkaClient(bootstrap_servers=f"127.0.0.1:{port}")
        bootstrap = asyncio.create_task(client.bootstrap())
        await asyncio.wait_for(requested.wait(), 5)
        bootstrap.cancel()
        with pytest.raises(asyncio.CancelledError):
            await bootstrap
        await asyncio.wait_for(closed.wait(), 5)
        await client.close()


def serve_tls_in_silence(listener: socket.socket, ended: threading.Event) -> None:
    """Complete a TLS handshake with one client, then neither read nor write: no TLS closing is answered."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("localhost").configure_cert(context)
    connection, _ = listener.accept()
    with context.wrap_socket(connection, server_side=True):
        ended.wait(20)


async def test_regression_failed_login_leaves_no_tls_connection_open(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse_login(_connection: object) -> None:
        raise SaslAuthenticationFailed

    enable_rebootstrap()
    monkeypatch.setattr(AIOKafkaConnection, "_do_version_lookup", refuse_login)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        served = asyncio.create_task(asyncio.to_thread(serve_tls_in_silence, listener, ended))
        connection = AIOKafkaConnection(
            "127.0.0.1", listener.getsockname()[1], security_protocol="SSL", ssl_context=context
        )
        with pytest.raises(SaslAuthenticationFailed):
            await connection.connect()
        try:
            await asyncio.wait_for(connection.close(), 5)  # without the abort it takes 30 s
        finally:
            ended.set()
            await served
