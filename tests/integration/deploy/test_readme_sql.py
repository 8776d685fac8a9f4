"""The sample queries of docs/admin-api.md run as they are, as the services' role, on the migrated schema."""

import re
from pathlib import Path

import asyncpg

from tests.support.stack import Database

PAGE = (Path(__file__).parents[3] / "docs" / "admin-api.md").read_text(encoding="utf-8")


async def test_the_sample_queries_run_as_they_are(database: Database) -> None:
    (block,) = re.findall(r"^```sql\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    queries = [query for query in block.split(";") if query.strip()]
    assert len(queries) == 4
    connection = await asyncpg.connect(database.service)
    try:
        for query in queries:
            await connection.fetch(query)
    finally:
        await connection.close()
