"""The workbench's adapter to PostgreSQL: groups of what is stuck, and replays. What flushers send is theirs.

Raises `DependencyUnavailable`, and from `services.admin.rules` `Unknown` and `Refused`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

from contracts.audit import AuditEvent
from runtime.database.postgres import Connection, Pool, load_queries, snapshot, transaction
from services.admin.rules import replay_rules
from services.admin.rules.lead_rules import Refused, Unknown
from services.admin.schemas import replays as answers
from services.admin.store.cursors import Place, cut

SQL: Any = load_queries(Path(__file__).with_name("failed_deliveries.sql"))
# Reasons are words and codes of ours, so groups are few; the bound is for forged ones.
MAX_GROUPS: Final = 500
# What became of so many rows is counted one by one; beyond, a sample tells it, and says so.
COUNT_RESULTS_UP_TO: Final = 2000
RESULTS_SAMPLED: Final = 1000
# So many rows of a replay are looked at for one page of those with a certain result.
RESULTS_LOOKED_AT: Final = 2000
NO_REPLAY: Final = "There is no replay with this id."


@dataclass(frozen=True)
class PausedStage:
    """A stage, and why its breaker has paused it."""

    stage: str
    reason: str | None


class Workbench:
    """Everything that the replay routes ask of the database."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def list_groups(self, asked: replay_rules.GroupFilter) -> answers.QueueGroups:
        """Return what is stuck, grouped by what is wrong."""
        async with snapshot(self._pool) as connection:
            await SQL.plan_for_these_values(connection)
            rows = [row async for row in SQL.list_groups(connection, **asked.selection(), limit=MAX_GROUPS)]
        return answers.QueueGroups(
            groups=[answers.QueueGroup.model_validate(dict(row)) for row in rows],
            total=rows[0]["total"] if rows else 0,
        )

    async def count_waiting(self) -> int:
        """Return how many rows a flush would try, and a clear would set aside."""
        async with snapshot(self._pool) as connection:
            waiting: int = await SQL.count_waiting(connection)
        return waiting

    async def list_paused(self) -> list[PausedStage]:
        """Return the stages that their breakers have paused."""
        async with snapshot(self._pool) as connection:
            return [PausedStage(row["stage"], row["reason"]) async for row in SQL.list_paused(connection)]

    async def replay_one(self, queue_id: UUID, comment: str | None, actor: str) -> answers.Requested:
        """Have one row sent now. Its audit entry is the flusher's, in this actor's name, when it is sent."""
        async with transaction(self._pool) as connection:
            row = await SQL.lock_row(connection, id=queue_id)
            if row is None:
                raise Unknown("There is no row with this id in the queue.")
            if said := _why_not(row):
                raise Refused(said)
            await SQL.request_row(connection, id=queue_id, actor=actor, comment=comment)
        fresh = row["state"] != "waiting"
        return answers.Requested(
            queue_id=queue_id,
            previous_state=row["state"],
            state="waiting",
            attempts=0 if fresh else row["attempts"],
            message="It is sent within two seconds"
            + (", with three new retries." if fresh else "; that burns no retry."),
        )

    async def preview(self, order: replay_rules.ReplayOrder) -> answers.ReplayAnswer:
        """Count what a replay would send, and what it could not."""
        async with transaction(self._pool) as connection:
            return await _choose(connection, order, None)

    async def replay(
        self, order: replay_rules.ReplayOrder, expected: int | None, actor: str
    ) -> answers.ReplayAnswer:
        """Begin a replay of all that the filter means at this moment."""
        async with transaction(self._pool) as connection:
            replay_id = uuid4()
            chosen = await _choose(connection, order, replay_id)
            if not chosen.wanted:
                raise Refused(replay_rules.refusal(chosen.blocked, len(chosen.unknown_ids)))
            if expected is not None and chosen.wanted > expected:
                raise Refused(
                    f"{chosen.wanted} rows match by now, not {expected}: look at the preview again."
                )
            row = await SQL.start_replay(
                connection,
                id=replay_id,
                actor=actor,
                comment=order.comment,
                filter=order.told(),
                per_second=order.per_second,
                wanted=chosen.wanted,
            )
            begun = _replay(row)
            await _tell(connection, AuditEvent.QUEUE_REPLAYED, actor, begun)
        return chosen.model_copy(
            update={
                "dry_run": False,
                "replay": begun,
                "message": f"{begun.wanted} rows are replayed, {begun.per_second} a second.",
            }
        )

    async def list_replays(self, asked: replay_rules.HistoryPage) -> answers.ReplayHistory:
        """Return a page of the history."""
        async with snapshot(self._pool) as connection:
            rows = SQL.list_replays(connection, **asked.after(), limit=asked.limit + 1)
            found = [_replay(row) async for row in rows]
        page, following = cut(found, asked.limit, lambda each: Place(each.created_at, each.id))
        return answers.ReplayHistory(replays=page, limit=asked.limit, next_cursor=following)

    async def get_replay(self, replay_id: UUID, asked: replay_rules.ResultPage) -> answers.ReplayDetail:
        """Return one replay, its counts and a page of its rows, as of one moment."""
        async with snapshot(self._pool) as connection:
            row = await SQL.get_replay(connection, id=replay_id)
            if row is None:
                raise Unknown(NO_REPLAY)
            await SQL.plan_for_these_values(connection)
            counted = await _count_results(connection, row)
            among = {"id": replay_id, "after": asked.cursor, "result": asked.result}
            # What few rows came to would be looked for through all; who had no turn stands in an index.
            by_state = asked.result not in (None, "queued", "cancelled")
            window = RESULTS_LOOKED_AT if by_state else asked.limit + 1
            upto = await SQL.end_of_window(connection, **among, window=window) if by_state else None
            rows = SQL.list_results(connection, **among, window=window, limit=asked.limit + 1)
            results = [answers.ReplayResult.model_validate(dict(each)) async for each in rows]
        page = results[: asked.limit]
        return answers.ReplayDetail(
            replay=_replay(row),
            outcomes=answers.Outcomes(**replay_rules.outcomes(row, counted)),
            outcomes_are_estimates=row["taken"] > COUNT_RESULTS_UP_TO,
            results=page,
            limit=asked.limit,
            next_cursor=page[-1].queue_id if len(results) > asked.limit else upto,
        )

    async def cancel_replay(self, replay_id: UUID, actor: str) -> answers.Cancelled:
        """Stop a replay; what is not sent yet stays what it was."""
        async with transaction(self._pool) as connection:
            row = await SQL.cancel_replay(connection, id=replay_id, actor=actor)
            if row is None:
                known = await SQL.get_replay(connection, id=replay_id)
                if known is None:
                    raise Unknown(NO_REPLAY)
                raise Refused(
                    f"The replay is {replay_rules.state_of(known)}: there is nothing left to cancel."
                )
            stopped = _replay(row)
            await _tell(connection, AuditEvent.QUEUE_REPLAY_CANCELLED, actor, stopped)
        never = stopped.wanted - stopped.taken
        return answers.Cancelled(
            replay=stopped,
            cancelled=never,
            message=f"{never} of {stopped.wanted} rows are not sent and stay as they were.",
        )


async def _count_results(connection: Connection, replay: Any) -> dict[str, int]:
    """Count what became of the rows that had their turn; of many only a sample."""
    if not replay["taken"]:
        return {}
    if replay["taken"] <= COUNT_RESULTS_UP_TO:
        rows = SQL.count_results(connection, id=replay["id"], taken=replay["taken"])
    else:
        share = replay["taken"] / replay["wanted"]
        rows = SQL.sample_results(connection, id=replay["id"], share=share, points=RESULTS_SAMPLED)
    return {row["result"]: row["rows"] async for row in rows}


async def _choose(
    connection: Connection, order: replay_rules.ReplayOrder, replay_id: UUID | None
) -> answers.ReplayAnswer:
    await SQL.plan_for_these_values(connection)
    rows = SQL.choose_rows(
        connection,
        **order.selection(),
        replayable_states=replay_rules.REPLAYABLE_STATES,
        replay_id=replay_id,
        limit=MAX_GROUPS,
    )
    found = [row async for row in rows]
    unknown = SQL.unknown_ids(connection, ids=order.ids) if order.ids else None
    wanted = (found[0]["wanted"] or 0) if found else 0
    blocked = [
        answers.BlockedGroup(**_group(row), why=_why_not(row) or "", ids=row["blocked_ids"])
        for row in found
        if not row["replayable"]
    ]
    return answers.ReplayAnswer(
        dry_run=True,
        wanted=wanted,
        seconds=-(-wanted // order.per_second),
        groups=[answers.ChosenGroup(**_group(row)) for row in found if row["replayable"]],
        blocked=blocked,
        unknown_ids=[row["id"] async for row in unknown] if unknown else [],
        replay=None,
        message=f"{wanted} rows would be replayed, {sum(each.rows for each in blocked)} cannot be.",
    )


def _why_not(row: Any) -> str | None:
    return replay_rules.why_not(state=row["state"], has_payload=row["has_payload"], erased=row["erased"])


def _group(row: Any) -> dict[str, Any]:
    return {name: row[name] for name in answers.ChosenGroup.model_fields}


def _replay(row: Any) -> answers.Replay:
    return answers.Replay.model_validate({**row, "state": replay_rules.state_of(row)})


async def _tell(connection: Connection, event: AuditEvent, actor: str, replay: answers.Replay) -> None:
    details = replay.model_dump(
        mode="json", include={"comment", "filter", "per_second", "wanted", "taken"}, exclude_none=True
    )
    await SQL.add_audit_entry(
        connection, event=event, actor=actor, details=details | {"replay_id": str(replay.id)}
    )
