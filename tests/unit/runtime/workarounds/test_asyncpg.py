"""The hosts of a database URL."""

import pytest

from runtime.workarounds.asyncpg import _split_hosts


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://u:p@one/db", [{}]),
        ("postgresql:///db?host=/run/postgresql", [{}]),
        ("postgresql://u:p@one,two:6432/db", [("one", 5432), ("two", 6432)]),
        ("postgresql://u:p%40@one:1,[::1]:2/db?sslmode=verify-full", [("one", 1), ("::1", 2)]),
        ("postgresql://u:p@/db?host=one,two&port=1,2", [("one", 1), ("two", 2)]),
        ("postgresql://u:p@one,two/db?port=6432", [("one", 6432), ("two", 6432)]),
        ("postgresql://u:p@%2Frun%2Fpostgresql,two/db", [("/run/postgresql", 5432), ("two", 5432)]),
    ],
)
def test_hosts_of_every_url_form_are_parsed(url: str, expected: list[object]) -> None:
    assert [each and (each["host"], each["port"]) for each in _split_hosts(url)] == expected
