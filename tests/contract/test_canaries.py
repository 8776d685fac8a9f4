"""No query of leads can show a canary, and each consumer of leads knows what a canary is."""

import re
from pathlib import Path

from contracts import topics

ROOT = Path(__file__).parents[2]
# The only readers and writers of the canary's own tables. No other table has a canary (ADR 0073).
OWN_QUERIES = {
    "runtime/database/canaries.sql",
    "services/admin/monitoring/canaries.sql",
    "services/flusher/canary/canary_job.sql",
}
TABLE = re.compile(r"\b(?:FROM|JOIN|INTO|UPDATE)\s+canary(?:_result)?\b", re.IGNORECASE)


def test_only_the_canary_s_own_queries_read_its_tables() -> None:
    files = [path for folder in ("services", "runtime") for path in (ROOT / folder).rglob("*.sql")]
    assert len(files) > 40
    found = {str(path.relative_to(ROOT)) for path in files if TABLE.search(path.read_text(encoding="utf-8"))}
    assert found == OWN_QUERIES


def test_each_service_that_consumes_leads_tells_canaries_apart() -> None:
    assert topics.RECEIVED.consumers
    for name in topics.RECEIVED.consumers:
        sources = [path.read_text(encoding="utf-8") for path in (ROOT / "services" / name).rglob("*.py")]
        assert any("canary_of(record.headers)" in source for source in sources), name
