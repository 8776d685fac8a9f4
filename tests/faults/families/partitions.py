"""Each service has a network of its own, and loses packets to a server, in one direction or both."""

from typing import Final

from tests.faults.environment import Action
from tests.faults.injections.network import missing_network
from tests.faults.installations.partitioned import (
    CONSUMERS,
    PartitionedEnvironment,
    partition,
    vanish_in_transaction,
)
from tests.faults.installations.rounds import Described, make_family

_ALL: Final = ("ingest", *CONSUMERS)


def _described(action: Action, text: str) -> Described:
    return Described(action, text, PartitionedEnvironment.build_partitioned, missing_network)


FAMILY = make_family(
    "partitions",
    {
        "consumer cut from kafka": _described(
            partition(CONSUMERS, ["kafka"]), "one of persister, notifier, webhooks, flusher"
        ),
        "consumer cut from postgres": _described(
            partition(CONSUMERS, ["postgres"]), "the same with the database"
        ),
        "gateway cut from kafka": _described(partition(["ingest"], ["kafka"]), "leads go to the spool"),
        "admin cut from postgres": _described(
            partition(["admin"], ["postgres"]), "changes of leads fail, or their reply is lost"
        ),
        "requests to kafka lost": _described(
            partition(_ALL, ["kafka"], ["sent"]), "one direction: nothing arrives at the broker"
        ),
        "replies of kafka lost": _described(
            partition(_ALL, ["kafka"], ["received"]), "one direction: it acts, and no reply arrives"
        ),
        "replies of postgres lost": _described(
            partition([*CONSUMERS, "admin"], ["postgres"], ["received"]),
            "one direction: it commits, and no reply arrives",
        ),
        "gone inside a transaction": _described(
            vanish_in_transaction, "a consumer's machine loses power; the server does not hear of it"
        ),
    },
    bound_seconds=300,
    quick=[("requests to kafka lost",)],
)
