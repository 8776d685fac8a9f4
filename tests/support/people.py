"""Where a person might still be: the whole database as text."""

from typing import Any


async def dump(db: Any) -> str:
    """Every row of every table, every column as text in lower case; bytes as the text that they are."""
    tables = await db.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
    assert len(tables) >= 8
    found = list[str]()
    for row in tables:
        for each in await db.fetch(f'SELECT * FROM "{row["tablename"]}"'):
            found += [_text(value) for value in each.values()]
    return "\n".join(found).lower()


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
