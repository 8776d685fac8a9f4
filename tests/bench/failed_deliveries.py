"""`python -m tests.bench.failed_deliveries`: the pages of failed deliveries at a million of them.

The failures are in 500 groups: destinations, events, reasons and states. A PostgreSQL of its own is filled,
and deleted at the end.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any, Final

import asyncpg
import typer
from rich.console import Console

from deploy.cli.migrate import migrate
from deploy.embedded.servers.standalone import running_postgres
from runtime.settings import Kafka, Postgres, SitesFile
from tests.bench.measure import percentile
from tests.support.services.admin import Admin, running_admin
from tests.support.services.dashboard import sign_in
from tests.support.services.webhooks import destination, write_sites

DESTINATIONS: Final = tuple(f"crm-{number}" for number in range(5))
PATHS: Final = (
    "/admin/deliveries/groups",
    "/admin/destinations",
    "/admin/ui/workbench",
    "/admin/ui/workbench?state=dead",
    "/admin/ui/destinations",
    "/admin/ui/workbench/deliveries?destination=crm-0&state=dead",
)
LIMIT_MS: Final = 150.0
# Requests that are not measured: they compile templates and fill caches.
WARM_UP: Final = 3
# 5 destinations x 2 events x 25 reasons x 2 states. The sizes of the groups differ by a factor of about 100.
FILL: Final = """
WITH made AS (
    SELECT n, md5(n::text)::uuid AS id, floor(power(random(), 3) * 500)::integer AS place
    FROM generate_series(1, $1::integer) AS n
), event AS (
    INSERT INTO webhook_event (id, type, lead_id, site, occurred_at, delivery_count)
    SELECT id, CASE place % 2 WHEN 0 THEN 'lead.received' ELSE 'lead.status_changed' END, id, 'shop', now(), 1
    FROM made
    RETURNING id, type, position
)
INSERT INTO webhook_delivery (event_id, destination, lead_id, position, state, type, reason, attempts,
                              next_attempt_at, updated_at)
SELECT event.id, 'crm-' || place / 2 % 5, event.id, event.position,
       CASE place / 10 % 2 WHEN 0 THEN 'dead' ELSE 'failed' END, event.type,
       'destination answered ' || 400 + place / 20, 10, now() + interval '1 hour', now() - n * interval '1 s'
FROM made JOIN event USING (id)
"""


async def _fill(url: str, rows: int) -> int:
    """Insert the failures, and return the number of their groups."""
    db = await asyncpg.connect(url)
    await db.execute("SET session_replication_role = replica")  # neither counts nor checks of foreign keys
    await db.execute(FILL, rows, timeout=1800)
    await db.execute("INSERT INTO webhook_destination (name) SELECT unnest($1::text[])", DESTINATIONS)
    await db.execute("VACUUM ANALYZE", timeout=600)
    groups: int = await db.fetchval(
        "SELECT count(*) FROM (SELECT DISTINCT destination, type, reason, state FROM webhook_delivery) AS g"
    )
    await db.close()
    return groups


async def _time(admin: Admin, path: str, runs: int) -> list[float]:
    times = []
    for _ in range(WARM_UP + runs):
        began = time.perf_counter()
        response = await admin.client.get(path)
        times.append((time.perf_counter() - began) * 1000)
        assert response.status_code == 200, response.text
    return times[WARM_UP:]


async def _measure(url: str, folder: Path, runs: int) -> dict[str, list[float]]:
    sites = write_sites(folder, *(destination(name, "https://crm.example/") for name in DESTINATIONS))
    kafka = Kafka(bootstrap_servers="127.0.0.1:1")
    postgres = Postgres.model_validate({"url": url})
    async with running_admin(postgres, kafka, sites_file=SitesFile(path=sites)) as admin:
        admin.client.base_url = "https://admin"
        await sign_in(admin)
        return {path: await _time(admin, path, runs) for path in PATHS}


def main(
    rows: Annotated[int, typer.Option(help="Failed deliveries.")] = 1_000_000,
    runs: Annotated[int, typer.Option(help="Requests of each page.")] = 60,
) -> None:
    """Time each page. Fails if the 95th percentile of one is over 150 ms."""
    console, slow = Console(), list[str]()
    with tempfile.TemporaryDirectory() as name, running_postgres(Path(name) / "postgres") as server:
        asyncio.run(migrate(server.urls.owner, server.urls.service))
        groups = asyncio.run(_fill(server.urls.superuser, rows))
        console.print(f"{rows} failed deliveries in {groups} groups, {runs} requests")
        measured: dict[str, Any] = asyncio.run(_measure(server.urls.service, Path(name), runs))
    for path, times in measured.items():
        p95 = percentile(times, 0.95)
        console.print(
            f"{path:60} median {statistics.median(times):6.1f} ms, 95 % {p95:6.1f} ms", soft_wrap=True
        )
        slow += [path] if p95 > LIMIT_MS else []
    if slow:
        sys.exit(f"over {LIMIT_MS:.0f} ms: {', '.join(slow)}")


if __name__ == "__main__":
    typer.run(main)
