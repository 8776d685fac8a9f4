"""The plots of the page on performance."""

from pathlib import Path

from tests.bench.measure import Curve
from tests.bench.plots import draw

CURVE = Curve("drain rate against consumers", "consumers", "leads/s", {"persister": [(1, 10.0), (2, 15.0)]})


def test_a_plot_is_drawn_alike_each_time_and_runs_nothing(tmp_path: Path) -> None:
    (first,) = draw([CURVE], tmp_path)
    drawn = first.read_text()
    assert first.name == "drain-rate-against-consumers.svg"
    assert "persister" in drawn
    assert "<script" not in drawn
    assert draw([CURVE], tmp_path)[0].read_text() == drawn
