"""When a run is worse than the known one, and what its table and its page say."""

import io
from pathlib import Path
from typing import Any

from rich.console import Console

from tests.bench import report
from tests.bench.environment import BenchEnvironment
from tests.bench.machine import Conditions, Core
from tests.bench.measure import Limit, Result
from tests.bench.performance_page import figures, is_true, written
from tests.bench.report import MARGIN, worse
from tests.support.stack import Stack

EARLIER = {"ratio": 1.0, "lowest": 0.9, "highest": 1.1}
NOISY = [1.0, 2, 3, 4, 5, 6, 7, 8]
QUIET = Conditions(61, [Core(0, 2596.1, 80)], [Core(0, 2600.4, 76)], 0.001, 0.02, "not pinned")


def result(ratio: float, limit: Limit, spread: float = 0.01) -> Result:
    ours = [ratio * (1 + spread * sign) for sign in (-1, 0, 1, 0)]
    return Result("gateway", "bare", "leads/s", ours, [1.0, 1, 1, 1.001], limit, QUIET)


def run(*results: Result, quick: bool = False) -> dict[str, Any]:
    stack = Stack("", "", "", "", "Kafka: embedded")
    bench = BenchEnvironment(stack, Path(), quick, 4 if quick else 8, print)
    return report.document(bench, results, {"gateway": QUIET})


def test_only_what_became_worse_by_more_than_the_margin_is_a_fault() -> None:
    known = {("gateway", "bare"): EARLIER}
    slow, fast = 1 - MARGIN - 0.02, 1 + MARGIN + 0.02
    assert worse([result(slow, Limit(at_least=3))], known)
    assert not worse([result(slow + 0.04, Limit(at_least=3))], known)
    assert not worse([result(fast, Limit(at_least=3))], known)
    assert worse([result(fast, Limit(at_most=1))], known)
    assert not worse([result(slow, Limit(at_most=1))], {})


def test_a_ratio_whose_interval_overlaps_the_known_one_is_no_fault() -> None:
    slow = result(1 - MARGIN - 0.02, Limit(at_least=3))
    assert not worse([slow], {("gateway", "bare"): EARLIER | {"lowest": 0.3}})
    assert not worse([slow], {("gateway", "bare"): EARLIER | {"interval": [0.4, 1.1]}})
    assert worse([slow], {("gateway", "bare"): EARLIER | {"interval": [0.9, 1.1], "lowest": 0.3}})


def test_what_is_too_noisy_is_neither_a_fault_nor_compared() -> None:
    noisy = Result("gateway", "bare", "leads/s", [0.01] * 8, NOISY, Limit(at_least=3))
    assert not worse([noisy], {("gateway", "bare"): EARLIER})
    assert not worse([result(0.1, Limit(at_least=3))], report.rows(run(noisy)))


def test_the_table_says_too_noisy_instead_of_a_ratio() -> None:
    noisy = Result("gateway", "bare", "leads/s", [4.0] * 8, NOISY, Limit(at_least=0.1))
    console = Console(file=io.StringIO(), width=250)
    console.print(report.table(run(noisy, result(1, Limit(at_least=0.5)))))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "at least 0.1: too noisy: the interval is" in shown
    assert "at least 0.5  " in shown
    assert "whole run, 8 turns)" in shown


def test_the_page_shows_intervals_noise_and_the_state_of_the_machine() -> None:
    noisy = Result("notifier", "bare", "mails/s", [4.0] * 8, NOISY, Limit(at_least=0.1), QUIET)
    once = Result("memory", "itself", "MB", [76.5], [74.1], Limit(at_most=1.2), QUIET)
    page = figures(run(noisy, once, result(1, Limit(at_least=1.005))))
    assert "| too noisy |" in page
    assert "**at least 0.1: too noisy: the interval is" in page
    assert "| memory | itself | 76.50 MB | 74.10 | 1.03 | - | - | at most 1.2 |" in page
    assert "**at least 1.005: undecided**" in page
    assert "stolen 0.1%, other programs 2.0%; core 0: 2596 to 2600 MHz" in page
    assert "A whole run, 8 turns." in page
    assert "A quick run, 4 turns, too few for a 95 % interval." in figures(run(once, quick=True))


def test_a_page_is_true_until_a_figure_changes(tmp_path: Path) -> None:
    page, known = tmp_path / "page.md", tmp_path / "results.json"
    said = run(result(1, Limit(at_least=0.5)))
    report.write(known, said)
    page.write_text(written("# Title\n\n" + figures(run()) + "\nAfter.\n", said))
    assert is_true(known, page)
    report.write(known, run(result(1.2, Limit(at_least=0.5))))
    assert not is_true(known, page)
