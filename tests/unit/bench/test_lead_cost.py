"""What is measured of a lead: whole requests, each answered with a 201."""

from pathlib import Path

import pytest

from runtime import event_loop
from tests.bench.lead_cost.__main__ import measure, total_of
from tests.support.kafka.acknowledging_broker import Connection, connect


@pytest.mark.parametrize("name", ["modelled", "bare"])
def test_references_answer_all_requests(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aiokafka.client.create_conn", connect)
    assert event_loop.run(measure(name, rounds=1, repeats=2, warm_up=1))[0] > 0


def test_gateway_publishes_what_it_accepts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aiokafka.client.create_conn", connect)
    monkeypatch.setattr("runtime.http.server.tune_gc", lambda: None)
    monkeypatch.setattr(Connection, "last_produced", None)
    assert event_loop.run(measure("ours", rounds=1, repeats=1, warm_up=1))[0] > 0
    assert Connection.last_produced


def test_total_is_read_from_the_profile(tmp_path: Path) -> None:
    profile = tmp_path / "callgrind.out"
    profile.write_text("events: Ir\nsummary: 0\n\nfn=(1)\n1 2\n\ntotals: 223440465\n")
    assert total_of(profile) == 223440465
