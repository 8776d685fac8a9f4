"""The circuit breakers of the stages: lists the paused stages, and resumes one."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contracts.audit import AuditEvent
from runtime.database.audit_log import append_action
from runtime.database.postgres import Pool, load_queries, snapshot, transaction

_SQL: Any = load_queries(Path(__file__).with_name("stages.sql"))


@dataclass(frozen=True)
class PausedStage:
    """A stage that its circuit breaker has paused, and the reason."""

    stage: str
    reason: str | None


class StageBreakers:
    """Reads and closes the circuit breakers in the table `stage_control`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def list_paused(self) -> list[PausedStage]:
        """Return the paused stages. Raises `DependencyUnavailable`."""
        async with snapshot(self._pool) as connection:
            return [PausedStage(row["stage"], row["reason"]) async for row in _SQL.list_paused(connection)]

    async def resume(self, stage: str, actor: str) -> bool:
        """Close a stage's circuit breaker, and audit that. Return False if the stage was not paused."""
        async with transaction(self._pool) as connection:
            breaker = await _SQL.lock_stage(connection, stage=stage)
            if breaker is None or not breaker["paused"]:
                return False
            await _SQL.resume_stage(connection, stage=stage, actor=actor)
            await append_action(connection, AuditEvent.STAGE_RESUMED, actor, {"stage": stage})
        return True
