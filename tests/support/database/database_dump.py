"""The whole database as text, to search it for a person's data."""

from typing import Any


async def dump_database(db: Any) -> str:
    """Return every value of every table as text in lower case. Bytes are decoded as UTF-8."""
    # Partitions are read as part of their table: the services' role has no right to read them.
    tables = await db.fetch(
        "SELECT relname AS tablename FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        " AND relkind IN ('r', 'p') AND NOT relispartition ORDER BY 1"
    )
    assert len(tables) >= 8
    values = list[str]()
    for table in tables:
        for row in await db.fetch(f'SELECT * FROM "{table["tablename"]}"'):
            values += [_to_text(value) for value in row.values()]
    return "\n".join(values).lower()


def _to_text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
