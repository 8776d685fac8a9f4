"""The disk of a writer is full: spool, Kafka, PostgreSQL, checkpoint's file, or a website's queue."""

from tests.faults.environment import Action
from tests.faults.injections.spool_faults import disk_full, missing_mount
from tests.faults.installations.disks import DiskEnvironment, checkpoint_disk_full, server_disk_full
from tests.faults.installations.rounds import Described, make_family
from tests.faults.installations.website_disk import WebsiteEnvironment, missing_website, website_disk_full


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
        "website's disk full": Described(
            website_disk_full,
            "the gateway is away, and the site kit has no room for its queue: then 503",
            WebsiteEnvironment.build_with_website,
            missing_website,
        ),
    },
    bound_seconds=300,
    quick=[("postgres's disk full",)],
    rounds_of_a_session=4,
)
