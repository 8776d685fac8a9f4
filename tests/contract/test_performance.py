"""docs/performance.md shows the recorded run."""

from tests.bench import performance_page, plots, report


def test_the_page_shows_the_figures_of_the_committed_run() -> None:
    assert performance_page.is_true(report.KNOWN), "make bench a=--keep measures anew and writes the page"


def test_the_page_shows_each_curve_of_the_committed_run() -> None:
    drawn = {path.name for path in plots.FOLDER.glob("*.svg")}
    assert drawn
    assert {
        name for name in drawn if f"](performance/{name})" not in performance_page.PAGE.read_text()
    } == set()
