"""Three brokers, of which some die, hang or restart, with all consumers, emails, deliveries and an admin."""

from tests.faults.injections.network import missing_network
from tests.faults.installations.broker_cluster import (
    ClusterEnvironment,
    hung,
    kill_leader,
    killed,
    leader_killed_alone,
    rolled,
)
from tests.faults.installations.partitioned_brokers import (
    PartitionedClusterEnvironment,
    leader_cut_off,
)
from tests.faults.installations.rounds import Described, make_family

_BUILD = ClusterEnvironment.build_cluster
_BUILD_CUT_OFF = PartitionedClusterEnvironment.build_with_networks

FAMILY = make_family(
    "three_brokers",
    {
        "leader killed": Described(
            kill_leader, "kill -9 of the broker that leads a partition of the leads", _BUILD
        ),
        "one killed": Described(killed(1), "kill -9 of a broker", _BUILD),
        "two killed": Described(
            killed(2), "kill -9 of two brokers, at once or one after the other: acks=all fails", _BUILD
        ),
        "all killed": Described(killed(3), "kill -9 of all brokers", _BUILD),
        "one hung": Described(hung(1), "SIGSTOP of a broker: its connections stay open", _BUILD),
        "two hung": Described(hung(2), "SIGSTOP of two brokers", _BUILD),
        "followers hung, leader killed": Described(
            leader_killed_alone, "the leader dies while no other broker has its last records", _BUILD
        ),
        "leader cut off from the others": Described(
            leader_cut_off,
            "clients still reach it, and it believes to lead",
            _BUILD_CUT_OFF,
            missing_network,
        ),
        "rolling restart": Described(
            rolled, "each broker restarts, the next one when the last is in sync", _BUILD
        ),
    },
    bound_seconds=360,
)
