"""The sample queries of the README run as they are, as the services' role, on the migrated schema."""

import re
from pathlib import Path

import asyncpg

from tests.support.stack import Database

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


async def test_the_sample_queries_of_the_readme_run_as_they_are(database: Database) -> None:
    (block,) = re.findall(r"^```sql\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    queries = [query for query in block.split(";") if query.strip()]
    assert len(queries) == 4
    connection = await asyncpg.connect(database.service)
    try:
        for query in queries:
            await connection.fetch(query)
    finally:
        await connection.close()
