"""One consumer group at its coordinator: members, generations, rebalances and committed offsets.

It follows Kafka's classic group protocol (`GroupMetadataManager` of Kafka 4): Empty, PreparingRebalance,
CompletingRebalance, Stable.
"""

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from aiokafka import TopicPartition
from aiokafka.coordinator.protocol import ConsumerProtocol

NONE: Final = 0
ILLEGAL_GENERATION: Final = 22
UNKNOWN_MEMBER_ID: Final = 25
REBALANCE_IN_PROGRESS: Final = 27
MEMBER_ID_REQUIRED: Final = 79


@dataclass
class Joined:
    """The response to a join."""

    error: int
    generation: int = -1
    protocol: str = ""
    leader: str = ""
    member_id: str = ""
    members: list[tuple[str, None, bytes]] = field(default_factory=list)


@dataclass
class Member:
    """A member. `joining` and `syncing` are its requests that wait for an answer."""

    member_id: str
    client: str
    session_seconds: float
    rebalance_seconds: float
    protocols: list[tuple[str, bytes]]
    joining: asyncio.Future[Joined] | None = None
    syncing: asyncio.Future[tuple[int, bytes]] | None = None
    assignment: bytes = b""
    expiry: asyncio.TimerHandle | None = None


class Group:
    """A group of consumers. All times are of the loop's clock."""

    def __init__(self, name: str, note: Callable[..., None]) -> None:
        self.name = name
        self.state = "Empty"
        self.generation = 0
        self.members: dict[str, Member] = {}
        self.offsets: dict[TopicPartition, int] = {}
        self.on_commit: Callable[[str, str, dict[TopicPartition, int]], None] = lambda *_: None
        self.on_removed: Callable[[str, str], None] = lambda *_: None
        self._leader = ""
        self._protocol = ""
        self._numbers = itertools.count(1)
        self._pending = set[str]()  # ids that were given out, and whose member has not joined yet
        self._note = note
        self._deadline: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

    # --- joining ---------------------------------------------------------------------------------------

    async def join(
        self,
        member_id: str,
        client: str,
        session_seconds: float,
        rebalance_seconds: float,
        protocols: list[tuple[str, bytes]],
    ) -> Joined:
        """Add a member, or let it join again; return when the group has its next generation."""
        if not member_id:
            member_id = f"{client}-{next(self._numbers)}"
            self._pending.add(member_id)
            return Joined(MEMBER_ID_REQUIRED, member_id=member_id)
        member = self.members.get(member_id)
        if member is None:
            if member_id not in self._pending:
                return Joined(UNKNOWN_MEMBER_ID)
            self._pending.discard(member_id)
            member = Member(member_id, client, session_seconds, rebalance_seconds, protocols)
            self.members[member_id] = member
            self._leader = self._leader or member_id
        elif self._may_stay(member, protocols):
            return self._joined(member)
        member.protocols = protocols
        member.session_seconds, member.rebalance_seconds = session_seconds, rebalance_seconds
        member.joining = self._loop.create_future()
        waiting = member.joining
        self._prepare_rebalance(f"{client} joins")
        self._complete_join_if_all()
        return await waiting

    def _may_stay(self, member: Member, protocols: list[tuple[str, bytes]]) -> bool:
        """Return True if a member that joins again gets the current generation."""
        same = member.protocols == protocols
        if self.state == "Stable":
            return same and member.member_id != self._leader
        return self.state == "CompletingRebalance" and same

    def _prepare_rebalance(self, reason: str) -> None:
        if self.state == "PreparingRebalance":
            return
        for member in self.members.values():
            self._answer_sync(member, REBALANCE_IN_PROGRESS, b"")
        self.state = "PreparingRebalance"
        self._note(f"group {self.name}: rebalance, {reason}")
        seconds = max((each.rebalance_seconds for each in self.members.values()), default=0.0)
        self._deadline = self._loop.call_later(seconds, self._expire_rebalance)

    def _expire_rebalance(self) -> None:
        for member in [each for each in self.members.values() if each.joining is None]:
            self._remove(member, "did not join in time")
        self._complete_join()

    def _complete_join_if_all(self) -> None:
        if self.state == "PreparingRebalance" and all(each.joining for each in self.members.values()):
            self._complete_join()

    def _complete_join(self) -> None:
        if self._deadline:
            self._deadline.cancel()
        self.generation += 1
        if not self.members:
            self.state = "Empty"
            return
        self.state = "CompletingRebalance"
        if self._leader not in self.members:
            self._leader = next(iter(self.members))
        self._protocol = next(iter(self.members.values())).protocols[0][0]
        for member in self.members.values():
            member.assignment = b""
            if member.joining and not member.joining.done():
                member.joining.set_result(self._joined(member))
            member.joining = None
            self.touch(member)

    def _joined(self, member: Member) -> Joined:
        members = list[tuple[str, None, bytes]]()
        if member.member_id == self._leader:
            members = [(each.member_id, None, each.protocols[0][1]) for each in self.members.values()]
        return Joined(NONE, self.generation, self._protocol, self._leader, member.member_id, members)

    async def sync(
        self, member_id: str, generation: int, assignments: list[tuple[str, bytes]]
    ) -> tuple[int, bytes]:
        """Return (error, assignment) once the leader has sent all assignments."""
        member, error = self._find(member_id, generation)
        if member is None:
            return error, b""
        if self.state == "PreparingRebalance":
            return REBALANCE_IN_PROGRESS, b""
        if self.state == "Stable":
            self.touch(member)
            return NONE, member.assignment
        member.syncing = self._loop.create_future()
        waiting = member.syncing
        if member_id == self._leader:
            for name, assignment in assignments:
                if name in self.members:
                    self.members[name].assignment = assignment
            self.state = "Stable"
            owned = {each.client: _text(self.assigned_to(each)) for each in self.members.values()}
            self._note(f"group {self.name}: generation {self.generation}: {owned}")
            for each in self.members.values():
                self._answer_sync(each, NONE, each.assignment)
        return await waiting

    def _answer_sync(self, member: Member, error: int, assignment: bytes) -> None:
        if member.syncing and not member.syncing.done():
            member.syncing.set_result((error, assignment))
            self.touch(member)
        member.syncing = None

    # --- staying and leaving ---------------------------------------------------------------------------

    def heartbeat(self, member_id: str, generation: int) -> int:
        """Return the error for a heartbeat."""
        member, error = self._find(member_id, generation)
        if member is None:
            return error
        self.touch(member)
        return REBALANCE_IN_PROGRESS if self.state == "PreparingRebalance" else NONE

    def leave(self, member_id: str) -> int:
        """Remove a member. Returns the error."""
        member = self.members.get(member_id)
        if member is None:
            return UNKNOWN_MEMBER_ID
        self._remove(member, "leaves")
        return NONE

    def touch(self, member: Member) -> None:
        """Start the member's session timeout anew."""
        if member.expiry:
            member.expiry.cancel()
        member.expiry = self._loop.call_later(member.session_seconds, self._expire, member)

    def touch_all(self) -> None:
        """Start all sessions anew, as a coordinator does that has loaded the group."""
        for member in self.members.values():
            self.touch(member)

    def _expire(self, member: Member) -> None:
        if self.members.get(member.member_id) is member and member.joining is None:
            self._remove(member, "lost its session")

    def _remove(self, member: Member, reason: str) -> None:
        del self.members[member.member_id]
        if member.expiry:
            member.expiry.cancel()
        if member.joining and not member.joining.done():
            member.joining.set_result(Joined(UNKNOWN_MEMBER_ID))
        self._answer_sync(member, UNKNOWN_MEMBER_ID, b"")
        if member.expiry:
            member.expiry.cancel()
        self._note(f"group {self.name}: {member.client} {reason}")
        self.on_removed(member.client, reason)
        if self.state in ("Stable", "CompletingRebalance"):
            self._prepare_rebalance(f"{member.client} {reason}")
        self._complete_join_if_all()

    # --- offsets ---------------------------------------------------------------------------------------

    def commit(self, member_id: str, generation: int, offsets: dict[TopicPartition, int]) -> int:
        """Store offsets and return the error. Without a generation, only an empty group takes them."""
        if generation < 0 and not self.members:
            self.offsets |= offsets
            return NONE
        member, error = self._find(member_id, generation)
        if member is None:
            return error
        if self.state == "CompletingRebalance":
            return REBALANCE_IN_PROGRESS
        self.touch(member)
        self.on_commit(member.client, member_id, offsets)
        self.offsets |= offsets
        return NONE

    def _find(self, member_id: str, generation: int) -> tuple[Member | None, int]:
        member = self.members.get(member_id)
        if member is None:
            return None, UNKNOWN_MEMBER_ID
        if generation != self.generation:
            return None, ILLEGAL_GENERATION
        return member, NONE

    def owner(self, partition: TopicPartition) -> str:
        """Return the client that owns a partition in a stable generation, or an empty text."""
        if self.state != "Stable":
            return ""
        owners = (each.client for each in self.members.values() if partition in self.assigned_to(each))
        return next(owners, "")

    def assigned_to(self, member: Member) -> set[TopicPartition]:
        """Return the partitions that the leader has assigned to a member in this generation."""
        if not member.assignment:
            return set()
        decoded = ConsumerProtocol.ASSIGNMENT.decode(member.assignment)
        return {TopicPartition(topic, each) for topic, numbers in decoded.assignment for each in numbers}


def _text(partitions: set[TopicPartition]) -> str:
    return " ".join(sorted(f"{each.topic}/{each.partition}" for each in partitions))
