"""What the flusher can be told, and what it refuses at the start."""

import pytest

from runtime.settings import load
from services.flusher.settings import Settings

NEEDED = {"KAFKA_BOOTSTRAP_SERVERS": "k:9092", "DATABASE_URL": "postgresql://f:f@db/f"}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in NEEDED.items():
        monkeypatch.setenv(name, value)


def test_the_queue_is_flushed_every_five_minutes() -> None:
    assert load(Settings).cron == "*/5 * * * *"


@pytest.mark.parametrize("wrong", ["every five minutes", "*/5 * * *", "61 * * * *", "* * * * * *"])
def test_a_schedule_that_is_no_cron_line_stops_the_start_by_name(
    wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASTCORE_FLUSHER_CRON", wrong)
    with pytest.raises(SystemExit, match="FASTCORE_FLUSHER_CRON: must be a cron line of five fields"):
        load(Settings)
