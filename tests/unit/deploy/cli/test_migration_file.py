"""A migration file is split into statements, and each says how it is executed."""

from pathlib import Path

from deploy.cli.migrate import MIGRATIONS
from deploy.cli.migration_file import MigrationFile, Statement, read_migration


def written(folder: Path, name: str, sql: str) -> MigrationFile:
    """Return the file as it is read."""
    (folder / name).write_text(sql)
    return read_migration(folder / name)


def test_a_function_with_semicolons_is_one_statement(tmp_path: Path) -> None:
    function = "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$\nBEGIN\n  a; b;\nEND $$;"
    file = written(
        tmp_path, "0001_a.sql", f"-- a; comment\nCREATE TABLE t (x text DEFAULT ';');\n{function}\n"
    )
    assert [str(each)[:15] for each in file.statements] == ["CREATE TABLE t ", "CREATE FUNCTION"]


def test_every_statement_of_every_migration_begins_with_a_command() -> None:
    commands = {
        *[
            "CREATE",
            "ALTER",
            "DROP",
            "UPDATE",
            "INSERT",
            "WITH",
            "COMMENT",
            "DO",
            "REVOKE",
            "SELECT",
            "SET",
            "ANALYZE",
        ]
    }
    files = [read_migration(path) for path in MIGRATIONS.glob("*.sql")]
    begun = {str(each).split()[0] for file in files for each in file.statements}
    assert begun
    assert begun <= commands


def test_the_name_says_whether_statements_have_their_own_transactions(tmp_path: Path) -> None:
    assert written(tmp_path, "0001_a.online.sql", "SELECT 1").is_online
    assert not written(tmp_path, "0001_a.sql", "SELECT 1").is_online


def test_an_index_that_is_built_concurrently_is_recognised_after_comments() -> None:
    assert Statement("-- why\n\nCREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS i ON t (a)").is_concurrent
    assert Statement("drop index concurrently i").is_concurrent
    assert not Statement("CREATE INDEX i ON t (a) -- not CONCURRENTLY").is_concurrent
    assert not Statement("INSERT INTO t VALUES ('CREATE INDEX CONCURRENTLY')").is_concurrent


def test_a_statement_after_the_comment_repeat_is_repeated() -> None:
    assert Statement("-- all rows, a thousand at a time\n-- repeat\nUPDATE t SET a = 1").is_repeated
    assert not Statement("-- do not repeat this\nUPDATE t SET a = 1").is_repeated


def test_a_message_shows_the_beginning_of_a_statement_in_one_line() -> None:
    shown = str(Statement("-- why\nUPDATE t\n   SET a = " + "1 + " * 100 + "1"))
    assert shown.startswith("UPDATE t SET a = 1 + 1")
    assert len(shown) == 101
