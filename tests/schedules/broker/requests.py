"""The requests that a broker answers, by their API key."""

from typing import Any, Final

from aiokafka.protocol.admin import ApiVersionRequest_v0
from aiokafka.protocol.commit import OffsetCommitRequest_v3, OffsetFetchRequest_v3
from aiokafka.protocol.coordination import FindCoordinatorRequest_v1
from aiokafka.protocol.fetch import FetchRequest_v11
from aiokafka.protocol.group import (
    HeartbeatRequest_v1,
    JoinGroupRequest_v5,
    LeaveGroupRequest_v1,
    SyncGroupRequest_v3,
)
from aiokafka.protocol.metadata import MetadataRequest_v5
from aiokafka.protocol.offset import OffsetRequest_v3
from aiokafka.protocol.produce import ProduceRequest_v7
from aiokafka.protocol.transaction import InitProducerIdRequest_v0

# The versions that aiokafka uses with Kafka 4, one of each request.
REQUESTS: Final[dict[int, Any]] = {
    each.API_KEY: each
    for each in (
        ProduceRequest_v7,
        FetchRequest_v11,
        OffsetRequest_v3,
        MetadataRequest_v5,
        OffsetCommitRequest_v3,
        OffsetFetchRequest_v3,
        FindCoordinatorRequest_v1,
        JoinGroupRequest_v5,
        HeartbeatRequest_v1,
        LeaveGroupRequest_v1,
        SyncGroupRequest_v3,
        ApiVersionRequest_v0,
        InitProducerIdRequest_v0,
    )
}
