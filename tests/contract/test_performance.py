"""The page on performance says what the known run measured."""

from tests.bench import page, report


def test_the_page_shows_the_figures_of_the_run_that_is_kept() -> None:
    assert page.is_true(report.KNOWN), "make bench a=--keep measures anew and writes the page"
