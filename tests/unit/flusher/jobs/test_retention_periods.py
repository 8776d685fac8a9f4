"""How long the leads of each site are kept."""

from runtime.sites.file import parse_sites
from runtime.sites.model import Sites
from services.flusher.jobs.retention_periods import RetentionPeriods

FILE = parse_sites(b"[sites.long]\nretention_days = 730\n[sites.short]\nretention_days = 7\n[sites.other]")


def test_a_site_s_own_period_may_be_longer_or_shorter() -> None:
    periods = RetentionPeriods(30, FILE)
    days = {name: periods.days(name) for name in ("long", "short", "other", "removed")}
    assert days == {"long": 730, "short": 7, "other": 30, "removed": 30}


def test_without_the_installation_s_setting_other_sites_keep_their_leads() -> None:
    periods = RetentionPeriods(None, FILE)
    assert periods.are_set
    assert [periods.days(name) for name in ("short", "other", "removed")] == [7, None, None]


def test_nothing_is_set_without_a_period() -> None:
    assert not RetentionPeriods(None, parse_sites(b"[sites.x]")).are_set
    assert RetentionPeriods(1, Sites()).are_set
