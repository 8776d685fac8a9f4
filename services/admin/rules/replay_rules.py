"""Replays: what one is asked with, and which rows it cannot send and why. No I/O, no clock."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue

from contracts.failures import Kind, Stage
from services.admin.schemas.filters import Limit, QueueState, Since, Text, Until
from services.admin.schemas.replays import BlockedGroup, ReplayState, Result
from services.admin.store.cursors import place

# What a flusher can be asked to send: it has come to an end, or waits for its time.
REPLAYABLE_STATES: Final = ("waiting", "dead", "archived")
OPEN_STATES: Final = ("waiting", "replaying", "dead")
ALL_STATES: Final = (*OPEN_STATES, "archived", "resolved")
# 100,000 rows in an hour and a bit. A mail server takes some tens of mails a second, and live leads go
# through the same notifier: a replay that is as fast as it would make them wait for its end.
DEFAULT_PER_SECOND: Final = 25
MAX_PER_SECOND: Final = 100
MAX_IDS: Final = 1000

_COMMENT: Final = Field(description="Why, for the audit log. No personal data: it stays there for ever.")
Comment = Annotated[Annotated[Text, Field(max_length=200)] | None, _COMMENT]

_CURSOR: Final = Field(description="The next_cursor of the page before.")


def _is_place(value: str) -> str:
    place(value, UUID)
    return value


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class GroupFilter(_Asked):
    """Which groups. Without a state those that are open: waiting, replaying and dead."""

    stage: Stage | None = None
    kind: Kind | None = None
    state: QueueState | None = None

    def selection(self) -> dict[str, Any]:
        """Return what the rows must match."""
        states = (self.state,) if self.state else OPEN_STATES
        return {"stage": self.stage, "kind": self.kind, "states": states}


class ReplayOne(_Asked):
    """Why one row is replayed."""

    comment: Comment = None


class ReplayOrder(_Asked):
    """Which rows to replay, and how fast. An empty one means all that is waiting, dead or archived."""

    stage: Stage | None = None
    kind: Kind | None = None
    state: Literal["waiting", "dead", "archived"] | None = None
    reason: Text | None = None
    ids: Annotated[list[UUID], Field(min_length=1, max_length=MAX_IDS)] | None = None
    since: Since = None
    until: Until = None
    per_second: Annotated[int, Field(ge=1, le=MAX_PER_SECOND, description="At most so many a second.")] = (
        DEFAULT_PER_SECOND
    )
    comment: Comment = None

    def selection(self) -> dict[str, Any]:
        """Return what the rows must match. Of rows named by id each gets a word, whatever its state."""
        states = (self.state,) if self.state else ALL_STATES if self.ids else REPLAYABLE_STATES
        return {
            "stage": self.stage,
            "kind": self.kind,
            "states": states,
            "reason": self.reason,
            "ids": self.ids,
            "since": self.since,
            "until": self.until,
        }

    def told(self) -> dict[str, JsonValue]:
        """Return the filter as history and audit log keep it: of ids their number."""
        said: dict[str, JsonValue] = self.model_dump(
            mode="json", exclude_none=True, exclude={"ids", "per_second", "comment"}
        )
        return said | ({"ids": len(self.ids)} if self.ids else {})


class ReplayMode(_Asked):
    """A preview, or the replay of what a preview has shown."""

    dry_run: Annotated[bool, Field(description="Count only; nothing is sent.")] = False
    expected: Annotated[
        int | None, Field(ge=0, description="Refuse with 409 where more rows match than the preview showed.")
    ] = None


class HistoryPage(_Asked):
    """Which page of the history."""

    limit: Limit = 50
    cursor: Annotated[Annotated[Text, AfterValidator(_is_place)] | None, _CURSOR] = None

    def after(self) -> dict[str, Any]:
        """Return the replay after which the page begins."""
        last = place(self.cursor, UUID) if self.cursor else None
        return {"after_at": last and last.at, "after_id": last and last.id}


class ResultPage(_Asked):
    """Which results of a replay, and which page of them."""

    limit: Limit = 50
    result: Result | None = None
    cursor: Annotated[UUID | None, _CURSOR] = None


def why_not(*, state: str, has_payload: bool, erased: bool) -> str | None:
    """Say why a row cannot be replayed; None where it can."""
    if erased:
        return "Its lead is erased, and that is final."
    if state == "resolved":
        return "It is resolved: its effect is there, and nothing is left to send."
    if state == "replaying":
        return (
            "It was sent and the stage has not answered yet; without an answer it goes again after an hour."
        )
    if not has_payload:
        return "Its record came without content, so there is nothing to send."
    return None


def state_of(replay: dict[str, Any]) -> ReplayState:
    """Name the state of a replay."""
    if replay["cancelled_at"]:
        return "cancelled"
    return "finished" if replay["finished_at"] else "running"


def outcomes(replay: Mapping[str, Any], counted: Mapping[str, int]) -> dict[str, int]:
    """Return where a replay's rows stand. `counted`: those that had their turn, all or a sample."""
    taken, seen = replay["taken"], sum(counted.values())
    found = {result: rows * taken // seen for result, rows in counted.items()}
    if found:
        # What rounding left over belongs to the largest.
        found[max(found, key=found.__getitem__)] += taken - sum(found.values())
    return found | {"cancelled" if replay["cancelled_at"] else "queued": replay["wanted"] - taken}


def refusal(blocked: list[BlockedGroup], unknown: int) -> str:
    """Say why nothing is replayed."""
    if not blocked:
        return "No row has any of these ids." if unknown else "No row matches, so nothing is replayed."
    words = " ".join(f"{each.rows} x {each.why}" for each in blocked[:5])
    return f"None of the rows that match can be replayed: {words}"
