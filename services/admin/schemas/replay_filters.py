"""The query parameters and bodies of the routes that replay and archive rows of the replay queue."""

from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import Field, JsonValue

from contracts.failures import Kind, Stage
from services.admin.schemas.filters import (
    CURSOR_FIELD,
    Filter,
    Limit,
    QueueState,
    Since,
    Text,
    Until,
    UuidCursor,
    after,
)
from services.admin.schemas.replays import Result

# The flusher sends only rows that wait or have reached a final state.
REPLAYABLE_STATES: Final = ("waiting", "dead", "archived")
# The flusher is sending rows that are replaying.
ARCHIVABLE_STATES: Final = ("waiting", "dead")
OPEN_STATES: Final = ("waiting", "replaying", "dead")
ALL_STATES: Final = (*OPEN_STATES, "archived", "resolved")
# 100,000 rows in a little more than an hour. A mail server takes some tens of emails per second, and new
# leads share the notifier with the replay: a replay at the full rate would delay them until it ends.
DEFAULT_PER_SECOND: Final = 25
MAX_PER_SECOND: Final = 100
MAX_IDS: Final = 1000

_COMMENT: Final = Field(description="Why, for the audit log. No personal data: it stays there forever.")
Comment = Annotated[Annotated[Text, Field(max_length=200)] | None, _COMMENT]


class GroupFilter(Filter):
    """Selects groups of rows. The rows of a group have the same failure.

    By default, it selects only rows that are waiting, replaying or dead.
    """

    stage: Stage | None = None
    kind: Kind | None = None
    state: QueueState | None = None

    def selection(self) -> dict[str, Any]:
        """Return the SQL parameters of the filter."""
        states = (self.state,) if self.state else OPEN_STATES
        return {"stage": self.stage, "kind": self.kind, "states": states}


class ReplayOne(Filter):
    """The reason for the replay of one row."""

    comment: Comment = None


class RowSelection(Filter):
    """Selects rows of the replay queue. A row must match all fields that are set."""

    stage: Stage | None = None
    kind: Kind | None = None
    state: QueueState | None = None
    reason: Text | None = None
    ids: Annotated[list[UUID], Field(min_length=1, max_length=MAX_IDS)] | None = None
    since: Since = None
    until: Until = None

    def summary(self) -> dict[str, JsonValue]:
        """Return the filter for the history and the audit log.

        The result has the number of ids instead of the ids.
        """
        fields: dict[str, JsonValue] = self.model_dump(
            mode="json", exclude_none=True, include=set(RowSelection.model_fields) - {"ids"}
        )
        return fields | ({"ids": len(self.ids)} if self.ids else {})

    def parameters(self, states: tuple[str, ...]) -> dict[str, Any]:
        """Return the SQL parameters. `states` are those that match if the filter names no state."""
        selected = self.model_dump(include=set(RowSelection.model_fields) - {"state"})
        return selected | {"states": (self.state,) if self.state else states}


class ReplayOrder(RowSelection):
    """The rows to replay, and the rate. By default, the rows are all waiting, dead and archived rows."""

    state: Literal["waiting", "dead", "archived"] | None = None
    per_second: Annotated[int, Field(ge=1, le=MAX_PER_SECOND, description="Rows per second, at most.")] = (
        DEFAULT_PER_SECOND
    )
    comment: Comment = None

    def selection(self) -> dict[str, Any]:
        """Return the SQL parameters of the filter.

        Rows that are selected by id match in any state, so that the preview can say why a row cannot be
        replayed.
        """
        return self.parameters(ALL_STATES if self.ids else REPLAYABLE_STATES)


class ArchiveOrder(RowSelection):
    """The rows to archive. By default, all waiting and dead rows."""

    state: Literal["waiting", "dead"] | None = None
    comment: Comment = None

    def selection(self) -> dict[str, Any]:
        """Return the SQL parameters of the filter."""
        return self.parameters(ARCHIVABLE_STATES)


class PreviewMode(Filter):
    """Requests a preview (`dry_run`), or the action itself."""

    dry_run: Annotated[bool, Field(description="Count the rows, but change and send none.")] = False
    expected: Annotated[
        int | None, Field(ge=0, description="Refuse with 409 if more rows match than the preview showed.")
    ] = None


class HistoryPage(Filter):
    """Selects a page of the list of replays."""

    limit: Limit = 50
    cursor: UuidCursor = None

    def after(self) -> dict[str, Any]:
        """Return the SQL parameters of the page."""
        return after(self.cursor)


class ResultPage(Filter):
    """Selects one page of a replay's rows.

    With `result`, only rows with this result are selected.
    """

    limit: Limit = 50
    result: Result | None = None
    cursor: Annotated[UUID | None, CURSOR_FIELD] = None
