"""A new migration holds no lock for long: squawk knows which statements do."""

import subprocess
import sys
from pathlib import Path

import pytest

from deploy.cli.migration_file import read_migration

ROOT = Path(__file__).parents[2]
MIGRATIONS = ROOT / "deploy" / "migrations"
# Older files were applied under a lock of all tables, and cannot be changed any more.
FIRST_CHECKED = "0051"


def complaints(path: Path) -> list[str]:
    """Return what squawk says about a file."""
    transaction = [] if path.name.endswith(".online.sql") else ["--assume-in-transaction"]
    command = [
        str(Path(sys.executable).with_name("squawk")),
        *("--config", str(ROOT / ".squawk.toml"), "--reporter", "gcc", *transaction, str(path)),
    ]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_new_migrations_hold_no_lock_for_long() -> None:
    new = [path for path in sorted(MIGRATIONS.glob("*.sql")) if path.name >= FIRST_CHECKED]
    assert [line for path in new for line in complaints(path)] == []


def test_what_may_run_twice_is_in_an_online_file() -> None:
    files = [read_migration(path) for path in MIGRATIONS.glob("*.sql")]
    for file, statement in [(each, statement) for each in files for statement in each.statements]:
        if statement.is_concurrent or statement.is_repeated:
            assert file.is_online, f"{file.name}: {statement}"
        if statement.is_concurrent:
            assert "EXISTS" in str(statement), f"{file.name}: {statement}"
        if statement.is_repeated:
            assert "LIMIT" in statement.sql, f"{file.name}: {statement}"


@pytest.mark.parametrize(
    ("name", "sql", "rule"),
    [
        ("9_a.sql", "CREATE INDEX i ON lead_inbox (name);", "require-concurrent-index-creation"),
        (
            "9_a.online.sql",
            "CREATE INDEX IF NOT EXISTS i ON lead_inbox (name);",
            "require-concurrent-index-creation",
        ),
        ("9_a.sql", "ALTER TABLE lead_inbox ALTER COLUMN name TYPE varchar(9);", "changing-column-type"),
        (
            "9_a.sql",
            "ALTER TABLE lead_inbox ADD CONSTRAINT c CHECK (name > '');",
            "constraint-missing-not-valid",
        ),
        ("9_a.sql", "ALTER TABLE lead_inbox DROP COLUMN name;", "ban-drop-column"),
        ("9_a.sql", "ALTER TABLE lead_inbox RENAME COLUMN name TO title;", "renaming-column"),
        (
            "9_a.sql",
            "ALTER TABLE lead_inbox ADD COLUMN x float DEFAULT random();",
            "adding-field-with-default",
        ),
    ],
)
def test_a_statement_that_would_lock_a_large_table_is_found(
    tmp_path: Path, name: str, sql: str, rule: str
) -> None:
    (tmp_path / name).write_text(sql)
    assert any(rule in line for line in complaints(tmp_path / name))


def test_an_index_that_is_built_concurrently_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "9_a.online.sql").write_text(
        "CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON lead_inbox (name);\n"
    )
    assert complaints(tmp_path / "9_a.online.sql") == []
