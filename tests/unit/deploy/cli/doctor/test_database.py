"""The pure checks of PostgreSQL."""

import pytest

from deploy.cli.doctor.database import _check_connections
from runtime.settings import Postgres

POSTGRES = Postgres.model_validate({"url": "postgresql://a:b@db.example/x"})


@pytest.mark.parametrize(
    ("processes", "limit", "level"), [(8, 97, "ok"), (18, 97, "warn"), (20, 97, "fail"), (8, 30, "fail")]
)
def test_all_pools_must_fit_with_ten_to_spare(processes: int, limit: int, level: str) -> None:
    server = {"connections": limit, "rolconnlimit": -1, "datconnlimit": -1}
    assert _check_connections(server, POSTGRES, processes).level == level


def test_a_limit_of_the_role_counts_too() -> None:
    server = {"connections": 500, "rolconnlimit": 20, "datconnlimit": -1}
    assert _check_connections(server, POSTGRES, 8).level == "fail"
