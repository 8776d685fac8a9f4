"""Every query names its columns, and every migration has a number of its own.

A prepared statement keeps the columns that it began with. After a migration has added one, a pooler that
carries prepared statements over answers "cached plan must not change result type" to a `SELECT *` until its
server connection ends, up to an hour later.
"""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# A migration runs once, and what it leaves are PL/pgSQL functions, whose plans PostgreSQL renews by itself:
# test_pgbouncer.py calls those with a star before and after a migration.
MIGRATIONS = ROOT / "deploy" / "migrations"
IN_SQL = re.compile(r"\b(SELECT|RETURNING|DISTINCT)\s+\*|,\s*\*|[\w\"]\.\*", re.IGNORECASE)
IN_PYTHON = re.compile(r"\b(SELECT|RETURNING)\s+(DISTINCT\s+)?(\w+\.)?\*", re.IGNORECASE)


def stars(text: str, pattern: re.Pattern[str]) -> list[int]:
    """Return the lines with a star for columns, without comments."""
    lines = [re.sub(r"--.*", "", line) for line in text.split("\n")]
    return ["\n".join(lines)[: found.start()].count("\n") + 1 for found in pattern.finditer("\n".join(lines))]


def test_no_query_leaves_its_columns_to_the_table() -> None:
    found = []
    for folder in ("services", "runtime", "deploy"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix not in (".sql", ".py", ".sh") or MIGRATIONS in path.parents:
                continue
            pattern = IN_SQL if path.suffix == ".sql" else IN_PYTHON
            found += [f"{path.relative_to(ROOT)}:{line}" for line in stars(path.read_text(), pattern)]
    assert found == []


@pytest.mark.parametrize(
    "query",
    ["SELECT * FROM t", "UPDATE t SET a = 1 RETURNING *", "select t.*, 1 FROM t", "SELECT a,\n  *\nFROM t"],
)
def test_each_way_to_write_a_star_is_found(query: str) -> None:
    assert stars(query, IN_SQL)


@pytest.mark.parametrize("query", ["SELECT count(*) FROM t", "SELECT a * 2 FROM t", "-- SELECT *\nSELECT a"])
def test_counts_products_and_comments_are_left_alone(query: str) -> None:
    assert not stars(query, IN_SQL)


def test_private_queries_are_used_in_their_own_module_only() -> None:
    importing = re.compile(r"import .*\b_SQL\b|\b[a-z]\w*\._SQL\b")
    users = [
        str(path.relative_to(ROOT))
        for folder in ("services", "runtime", "deploy")
        for path in (ROOT / folder).rglob("*.py")
        if importing.search(path.read_text())
    ]
    assert users == []


def test_migrations_have_numbers_of_their_own_without_a_gap() -> None:
    numbers = sorted(int(path.name.partition("_")[0]) for path in MIGRATIONS.glob("[0-9]*.sql"))
    assert numbers == list(range(1, len(numbers) + 1))
