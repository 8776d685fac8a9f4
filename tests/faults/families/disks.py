"""The disk of a writer is full: that of the spool, of Kafka, of PostgreSQL, or of the checkpoint's file."""

from tests.faults.environment import Action
from tests.faults.injections.spool_faults import disk_full, missing_mount
from tests.faults.installations.disks import DiskEnvironment, checkpoint_disk_full, server_disk_full
from tests.faults.installations.rounds import Described, make_family


def _described(action: Action, text: str) -> Described:
    return Described(action, text, DiskEnvironment.build_on_disks, missing_mount)


FAMILY = make_family(
    "disks",
    {
        "kafka's disk full": _described(server_disk_full("kafka"), "the broker ends; leads go to the spool"),
        "postgres's disk full": _described(
            server_disk_full("postgres"), "statements fail with 53100, or the server ends (WAL)"
        ),
        "spool's disk full": _described(disk_full, "without Kafka, 32 KB for the spool: then 503"),
        "checkpoint's disk full": _described(
            checkpoint_disk_full, "the audit log is sealed, and not published"
        ),
    },
    bound_seconds=300,
    quick=[("postgres's disk full",)],
    rounds_of_a_session=4,
)
