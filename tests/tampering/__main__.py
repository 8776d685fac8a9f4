"""The command `python -m tests.tampering`."""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path

import asyncpg

from deploy.cli.migrate import migrate
from deploy.embedded.servers.standalone import running_postgres
from runtime.settings import Postgres
from tests.tampering.log import make_sealed_log, remove_protection
from tests.tampering.run import Result, tamper


async def _run(folder: Path, seed: int, count: int) -> tuple[Result, float]:
    with running_postgres(folder / "postgres") as server:
        await migrate(server.urls.owner, server.urls.service)
        db = await asyncpg.connect(server.urls.superuser)
        try:
            await db.set_type_codec("jsonb", schema="pg_catalog", encoder=json.dumps, decoder=json.loads)
            log = await make_sealed_log(Postgres.model_validate({"url": server.urls.service}), db)
            await remove_protection(db)
            began = time.monotonic()
            result = await tamper(db, log, folder / "log.jsonl", seed, count)
            return result, time.monotonic() - began
        finally:
            await db.close()


def main() -> None:
    """Tamper with a log, and exit with 1 if a verifier misses a change."""
    parser = argparse.ArgumentParser(prog="python -m tests.tampering", description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=20)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result, seconds = asyncio.run(_run(Path(folder), arguments.seed, arguments.count))
    columns = (result.made, result.by_check, result.by_export, result.by_program, result.by_tables)
    rows = [
        f"{'change':20}" + "".join(f"{name:>9}" for name in ("made", "verify", "export", "program", "tables"))
    ]
    rows += [f"{kind:20}" + "".join(f"{each[kind]:9}" for each in columns) for kind in sorted(result.made)]
    rows.append(f"{result.made.total()} changes in {seconds:.0f} s, {len(result.missed)} missed")
    rows += [f"missed: {what}" for what in result.missed[:20]]
    sys.stdout.write("\n".join(rows) + "\n")
    sys.exit(bool(result.missed))


if __name__ == "__main__":
    main()
