"""Replays of many queue rows: preview, start, follow and cancel them. The flusher sends the rows.

The methods raise `DependencyUnavailable`, and the errors of `services.admin.rules.errors`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

from contracts.audit import AuditEvent
from runtime.database.audit_log import append_action
from runtime.database.postgres import Connection, Pool, load_queries, snapshot, transaction
from services.admin.rules import replay_rules
from services.admin.rules.errors import ConflictError, NotFoundError
from services.admin.schemas import replays as schemas
from services.admin.schemas.cursors import Position, split_page
from services.admin.schemas.replay_filters import REPLAYABLE_STATES, HistoryPage, ReplayOrder, ResultPage
from services.admin.store.deliveries.queue import IS_SELECTED, MAX_GROUPS
from services.admin.store.planning import plan_for_values
from services.admin.texts import gettext, gettext_noop

_SQL: Any = load_queries(Path(__file__).with_name("replays.sql"), is_selected=IS_SELECTED)
# Up to this number, rows are counted exactly. Larger replays are estimated from a sample, and marked as
# estimates.
COUNT_RESULTS_UP_TO: Final = 2000
RESULT_SAMPLE_SIZE: Final = 1000
# Rows of a replay that one page with a filter on `result` examines.
RESULT_WINDOW: Final = 2000
NO_SUCH_REPLAY: Final = gettext_noop("There is no replay with this id.")


class Replays:
    """Reads and changes the tables `queue_replay` and `queue_replay_item`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def preview(self, order: ReplayOrder) -> schemas.ReplayAnswer:
        """Count the rows that a replay would send, and those that it cannot send. Changes nothing."""
        async with transaction(self._pool) as connection:
            return await _choose_rows(connection, order, None)

    async def start(self, order: ReplayOrder, expected: int | None, actor: str) -> schemas.ReplayAnswer:
        """Start a replay of all rows that match now, and audit it.

        Raises `ConflictError` if no row can be replayed, or if more than `expected` rows can.
        """
        async with transaction(self._pool) as connection:
            replay_id = uuid4()
            chosen = await _choose_rows(connection, order, replay_id)
            if not chosen.wanted:
                raise ConflictError(replay_rules.nothing_to_replay(chosen.blocked, len(chosen.unknown_ids)))
            replay_rules.check_expected(chosen.wanted, expected)
            row = await _SQL.start_replay(
                connection,
                id=replay_id,
                actor=actor,
                comment=order.comment,
                filter=order.summary(),
                per_second=order.per_second,
                wanted=chosen.wanted,
            )
            replay = _to_replay(row)
            await _audit_replay(connection, AuditEvent.QUEUE_REPLAYED, actor, replay)
        message = f"{replay.wanted} rows are replayed, {replay.per_second} per second."
        return chosen.model_copy(update={"dry_run": False, "replay": replay, "message": message})

    async def list_replays(self, page: HistoryPage) -> schemas.ReplayHistory:
        """Return a page of the replays, newest first."""
        async with snapshot(self._pool) as connection:
            rows = _SQL.list_replays(connection, **page.after(), limit=page.limit + 1)
            replays = [_to_replay(row) async for row in rows]
        shown, next_cursor = split_page(
            replays, page.limit, lambda replay: Position(replay.created_at, replay.id)
        )
        return schemas.ReplayHistory(replays=shown, limit=page.limit, next_cursor=next_cursor)

    async def count_outcomes(self, replays: Sequence[schemas.Replay]) -> dict[UUID, schemas.CountedOutcomes]:
        """Return the outcomes of each replay, by its id. The outcomes of large replays are estimates."""
        async with snapshot(self._pool) as connection:
            await plan_for_values(connection)
            return {
                replay.id: _to_outcomes(fields, await _count_results(connection, fields))
                for replay in replays
                for fields in [replay.model_dump()]
            }

    async def get_replay(self, replay_id: UUID, page: ResultPage) -> schemas.ReplayDetail:
        """Return one replay, its counts and a page of its rows, all as of the same moment."""
        async with snapshot(self._pool) as connection:
            row = await _SQL.get_replay(connection, id=replay_id)
            if row is None:
                raise NotFoundError(gettext(NO_SUCH_REPLAY))
            await plan_for_values(connection)
            counts = await _count_results(connection, row)
            selection = {"id": replay_id, "after": page.cursor, "result": page.result}
            # A page with a rare result would have to search all rows of the replay. So it examines only a
            # window of the rows. Rows that are not processed need no window, because an index finds them.
            is_windowed = page.result not in (None, "queued", "cancelled")
            window = RESULT_WINDOW if is_windowed else page.limit + 1
            window_end = (
                await _SQL.end_of_window(connection, **selection, window=window) if is_windowed else None
            )
            rows = _SQL.list_results(connection, **selection, window=window, limit=page.limit + 1)
            results = [schemas.ReplayResult.model_validate(dict(each)) async for each in rows]
        shown = results[: page.limit]
        return schemas.ReplayDetail(
            replay=_to_replay(row),
            **_to_outcomes(row, counts).model_dump(),
            results=shown,
            limit=page.limit,
            next_cursor=shown[-1].queue_id if len(results) > page.limit else window_end,
        )

    async def cancel(self, replay_id: UUID, actor: str) -> schemas.Cancelled:
        """Stop a replay and audit it. Rows that were not sent stay as they were."""
        async with transaction(self._pool) as connection:
            row = await _SQL.cancel_replay(connection, id=replay_id, actor=actor)
            if row is None:
                existing = await _SQL.get_replay(connection, id=replay_id)
                if existing is None:
                    raise NotFoundError(gettext(NO_SUCH_REPLAY))
                raise ConflictError(replay_rules.nothing_to_cancel(replay_rules.state_of(existing)))
            replay = _to_replay(row)
            await _audit_replay(connection, AuditEvent.QUEUE_REPLAY_CANCELLED, actor, replay)
        unsent = replay.wanted - replay.taken
        return schemas.Cancelled(
            replay=replay,
            cancelled=unsent,
            message=f"{unsent} of {replay.wanted} rows are not sent and stay as they were.",
        )


async def _count_results(connection: Connection, replay: Any) -> dict[str, int]:
    """Count a replay's processed rows by result. If there are many, count only a sample of them."""
    if not replay["taken"]:
        return {}
    if replay["taken"] <= COUNT_RESULTS_UP_TO:
        rows = _SQL.count_results(connection, id=replay["id"], taken=replay["taken"])
    else:
        share = replay["taken"] / replay["wanted"]
        rows = _SQL.sample_results(connection, id=replay["id"], share=share, points=RESULT_SAMPLE_SIZE)
    return {row["result"]: row["rows"] async for row in rows}


async def _choose_rows(
    connection: Connection, order: ReplayOrder, replay_id: UUID | None
) -> schemas.ReplayAnswer:
    """Count the rows that the order selects.

    With `replay_id`, also store the rows that can be sent, as the items of that replay.
    """
    await plan_for_values(connection)
    groups = _SQL.choose_rows(
        connection,
        **order.selection(),
        replayable_states=REPLAYABLE_STATES,
        replay_id=replay_id,
        limit=MAX_GROUPS,
    )
    rows = [row async for row in groups]
    unknown = _SQL.unknown_ids(connection, ids=order.ids) if order.ids else None
    wanted = (rows[0]["wanted"] or 0) if rows else 0
    blocked = [_to_blocked_group(row) for row in rows if not row["replayable"]]
    return schemas.ReplayAnswer(
        dry_run=True,
        wanted=wanted,
        seconds=replay_rules.replay_seconds(wanted, order.per_second),
        groups=[schemas.ChosenGroup(**_group_fields(row)) for row in rows if row["replayable"]],
        blocked=blocked,
        unknown_ids=[row["id"] async for row in unknown] if unknown else [],
        replay=None,
        message=f"{wanted} rows would be replayed, {sum(group.rows for group in blocked)} cannot be.",
    )


def _to_outcomes(replay: Any, counts: dict[str, int]) -> schemas.CountedOutcomes:
    return schemas.CountedOutcomes(
        outcomes=schemas.Outcomes(**replay_rules.outcomes(replay, counts)),
        outcomes_are_estimates=replay["taken"] > COUNT_RESULTS_UP_TO,
    )


def _to_blocked_group(row: Any) -> schemas.BlockedGroup:
    blocker = replay_rules.replay_blocker(
        state=row["state"], has_payload=row["has_payload"], erased=row["erased"]
    )
    return schemas.BlockedGroup(**_group_fields(row), why=blocker or "", ids=row["blocked_ids"])


def _group_fields(row: Any) -> dict[str, Any]:
    return {name: row[name] for name in schemas.ChosenGroup.model_fields}


def _to_replay(row: Any) -> schemas.Replay:
    return schemas.Replay.model_validate({**row, "state": replay_rules.state_of(row)})


async def _audit_replay(
    connection: Connection, event: AuditEvent, actor: str, replay: schemas.Replay
) -> None:
    details = replay.model_dump(
        mode="json", include={"comment", "filter", "per_second", "wanted", "taken"}, exclude_none=True
    )
    await append_action(connection, event, actor, details | {"replay_id": str(replay.id)})
