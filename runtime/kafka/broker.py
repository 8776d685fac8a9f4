"""Connects to Kafka: builds a service's FastStream broker, and finds out why a connection fails."""

import asyncio
import ssl
from typing import Any, Final

from aiokafka.conn import create_conn
from aiokafka.errors import (
    IllegalSaslStateError,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)
from faststream.kafka import KafkaBroker
from faststream.kafka.security import parse_security

from runtime.failures import DependencyUnavailable
from runtime.settings import Kafka
from runtime.workarounds.aiokafka import (
    accept_any_header_name,
    raise_offset_fetch_errors,
    retrieve_abandoned_commits,
)
from runtime.workarounds.aiokafka_metadata import enable_rebootstrap

CONNECT_SECONDS: Final = 10.0
# A client that no broker has answered for this time is replaced: it may wait 40 s for a host that is gone.
SILENCE_SECONDS: Final = 60.0
# The default is 5 minutes: for that time a consumer keeps a deleted topic and misses new partitions. Each
# refresh proves that a broker answers, so this is well below SILENCE_SECONDS.
METADATA_MAX_AGE_MS: Final = 30_000
NO_ANSWER: Final = "kafka does not answer"


def build_broker(
    settings: Kafka, client_id: str, metadata_max_age_ms: int = METADATA_MAX_AGE_MS
) -> KafkaBroker:
    """Build the broker for `runtime.kafka.consumer`. It does not connect yet.

    The broker is used only to consume. FastStream's producer is not used, because it has no publish timeout.
    """
    accept_any_header_name()
    raise_offset_fetch_errors()
    enable_rebootstrap()
    retrieve_abandoned_commits()
    return KafkaBroker(
        settings.bootstrap_servers.split(","),
        client_id=client_id,
        security=settings.security(),
        consumer_only=True,
        metadata_max_age_ms=metadata_max_age_ms,
        allow_auto_create_topics=False,
        logger=None,
    )


async def check_brokers(client: Any) -> None:
    """Raise `DependencyUnavailable` unless a broker answers this aiokafka client now.

    This function has no timeout: the caller must set one.
    """
    if not await client.force_metadata_update():
        raise DependencyUnavailable("kafka", NO_ANSWER)


async def diagnose_connection(settings: Kafka) -> str:
    """Return why no connection to Kafka opens. aiokafka's own error only says that it failed.

    Tries all bootstrap servers. Returns what is wrong with the first one that answers, or `NO_ANSWER` if none
    answers.
    """
    servers = settings.bootstrap_servers.split(",")
    reasons = await asyncio.gather(*(_diagnose_server(server.strip(), settings) for server in servers))
    return next((reason for reason in reasons if reason != NO_ANSWER), NO_ANSWER)


async def _diagnose_server(server: str, settings: Kafka) -> str:
    host, _, port = server.rpartition(":")
    options = parse_security(settings.security())
    try:
        connection = await asyncio.wait_for(create_conn(host, int(port), **options), CONNECT_SECONDS)
    except (SaslAuthenticationFailed, IllegalSaslStateError, UnsupportedSaslMechanismError):
        return "kafka refused our login"
    except ssl.SSLCertVerificationError:
        return "kafka's certificate is not from our authority, or for another name"
    except (KafkaError, OSError, TimeoutError, ValueError):
        return NO_ANSWER
    connection.close()
    return "kafka answers, but no broker of the cluster does"
