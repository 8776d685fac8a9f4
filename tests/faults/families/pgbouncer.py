"""The services use PgBouncer in transaction mode, and a release's migrations are applied while leads come."""

from tests.faults.environment import Action
from tests.faults.installations.pooled_database import (
    PooledEnvironment,
    migrated,
    missing_pgbouncer,
    pause_pooler,
    reload_pooler,
    restart_pooler,
)
from tests.faults.installations.rounds import Described, make_family


def _described(action: Action, text: str) -> Described:
    return Described(action, text, PooledEnvironment.build_pooled, missing_pgbouncer)


FAMILY = make_family(
    "pgbouncer",
    {
        "migration, pooler restarted": _described(
            migrated(restart_pooler), "the pooler ends twice, also under the migration, which is repeated"
        ),
        "migration": _described(migrated(), "columns, indexes and a type change, with all tables locked"),
        "migration, pooler paused": _described(migrated(pause_pooler), "PAUSE and RESUME meanwhile"),
        "migration, pooler reloaded": _described(migrated(reload_pooler), "RELOAD meanwhile"),
        "migration, pooler disturbed": _described(
            migrated(reload_pooler, pause_pooler, restart_pooler), "everything that can happen to the pooler"
        ),
    },
    bound_seconds=300,
)
