"""The whole database as text, to search it for a person's data."""

from typing import Any


async def dump_database(db: Any) -> str:
    """Return every value of every table as text in lower case. Bytes are decoded as UTF-8."""
    tables = await db.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
    assert len(tables) >= 8
    values = list[str]()
    for table in tables:
        for row in await db.fetch(f'SELECT * FROM "{table["tablename"]}"'):
            values += [_to_text(value) for value in row.values()]
    return "\n".join(values).lower()


def _to_text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
