"""Computes the overview's bar chart, and the overview's table of leads by weekday and hour. No I/O.

A template draws the bars as SVG, which is stretched to the width of the page. All text is HTML beside the
SVG, so that it is not stretched (ADR 0037).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from babel.dates import format_skeleton, format_time, get_day_names

from services.admin.store.leads.trends import Count, Unit
from services.admin.texts import current_viewer, gettext, ngettext

# Units of the SVG's viewBox, which the style sheet stretches. `BAR` is the width of a bar and of the space
# beside it.
BAR: Final = 10
HEIGHT: Final = 100
HEAT_LEVELS: Final = 5
WEEKDAYS: Final = 7


@dataclass(frozen=True)
class Range:
    """The period that the overview shows. It ends with the current day or month.

    The chart has `bars` bars: one for each day or month (`unit`). Every `label_every`-th bar has a label on
    the axis. `bars` must be a multiple of `label_every`.
    """

    key: str
    unit: Unit
    bars: int
    label_every: int

    @property
    def name(self) -> str:
        """Return the name, such as `30 days`."""
        if self.unit == "month":
            return ngettext("%(count)s month", "%(count)s months", self.bars)
        return ngettext("%(count)s day", "%(count)s days", self.bars)


RANGES: Final[Mapping[str, Range]] = {
    each.key: each
    for each in (
        Range("7", "day", 7, 1),
        Range("30", "day", 30, 6),
        Range("90", "day", 90, 18),
        Range("12m", "month", 12, 1),
    )
}
DEFAULT_RANGE: Final = "30"


@dataclass(frozen=True)
class Bar:
    """A bar of the chart: the leads of one day or month.

    `value` is the number of leads. `before` is the number in the corresponding day or month of the previous
    period. The coordinates and sizes are in units of the SVG.
    """

    x: int
    y: float
    height: float
    before_y: float
    title: str
    value: int
    spam: int
    before_title: str
    before: int
    is_current: bool

    @property
    def text(self) -> str:
        """Return the first line of the tooltip, such as `Mon 23 Nov: 12`."""
        return gettext("%(title)s: %(count)s", title=self.title, count=self.value)

    @property
    def rest(self) -> str:
        """Return the second line of the tooltip.

        The line contains the number of leads in the previous period. If there are spam leads, their number
        comes first.
        """
        before = gettext("%(title)s: %(count)s", title=self.before_title, count=self.before)
        if not self.spam:
            return before
        return gettext("%(count)s spam. %(before)s", count=self.spam, before=before)


@dataclass(frozen=True)
class Chart:
    """The chart: its bars, the labels of its axes, and the totals of both periods.

    `scale` has the values of the vertical axis, from the highest down to zero. `labels` are the labels of the
    horizontal axis. `description` describes the chart in words, for screen readers.
    """

    bars: list[Bar]
    scale: list[int]
    labels: list[str]
    total: int
    total_before: int
    spam: int
    description: str

    @property
    def width(self) -> int:
        """Return the width of the SVG's viewBox."""
        return BAR * len(self.bars)


@dataclass(frozen=True)
class Heat:
    """A cell of the table of leads by weekday and hour.

    `value` is the number of leads. `level` is from 0 (no leads) to `HEAT_LEVELS` - 1 (the most leads).
    """

    title: str
    value: int
    level: int


def bucket_starts(shown: Range, now: datetime, zone: ZoneInfo) -> list[datetime]:
    """Return the start of each day or month, in UTC.

    The days or months of the previous period come first, then those of the range.
    """
    local = now.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    backwards = range(2 * shown.bars - 1, -1, -1)
    if shown.unit == "day":
        return [(local - timedelta(days=back)).astimezone(UTC) for back in backwards]
    months = [local.year * 12 + local.month - 1 - back for back in backwards]
    return [local.replace(year=each // 12, month=each % 12 + 1, day=1).astimezone(UTC) for each in months]


def range_start(shown: Range, now: datetime, zone: ZoneInfo) -> datetime:
    """Return the start of the range, in UTC."""
    return bucket_starts(shown, now, zone)[shown.bars]


def bar_chart(shown: Range, counts: Mapping[datetime, Count], now: datetime, zone: ZoneInfo) -> Chart:
    """Return the chart of the leads of a range and of the period before it.

    `counts` maps the start of each day or month to its number of leads. A day or month without leads may be
    missing.
    """
    by_start = {at.astimezone(UTC): count for at, count in counts.items()}
    buckets = [(at, by_start.get(at, Count())) for at in bucket_starts(shown, now, zone)]
    scale = scale_ticks(max(count.leads for _, count in buckets))
    top = scale[-1]
    bars = []
    for index, ((at_before, before), (at, count)) in enumerate(
        zip(buckets[: shown.bars], buckets[shown.bars :], strict=True)
    ):
        height = round(HEIGHT * count.leads / top, 1)
        bars.append(
            Bar(
                x=index * BAR,
                y=round(HEIGHT - height, 1),
                height=height,
                before_y=round(HEIGHT - HEIGHT * before.leads / top, 1),
                title=_title(shown.unit, at.astimezone(zone)),
                value=count.leads,
                spam=count.spam,
                before_title=_title(shown.unit, at_before.astimezone(zone)),
                before=before.leads,
                is_current=index == shown.bars - 1,
            )
        )
    labels = [_label(shown, at.astimezone(zone)) for at, _ in buckets[shown.bars :: shown.label_every]]
    total = sum(bar.value for bar in bars)
    total_before = sum(bar.before for bar in bars)
    return Chart(
        bars=bars,
        scale=[*reversed(scale), 0],
        labels=labels,
        total=total,
        total_before=total_before,
        spam=sum(bar.spam for bar in bars),
        description=_describe(shown, bars, total, total_before),
    )


def week_table(counts: Mapping[tuple[int, int], int]) -> list[tuple[str, list[Heat]]]:
    """Return the table's rows. Each row has the name of a weekday and a cell for each of its 24 hours.

    `counts` maps a weekday (1 is Monday) and an hour to the number of leads.
    """
    most = max(counts.values(), default=0)
    locale = current_viewer().locale
    names = get_day_names("abbreviated", "stand-alone", locale)
    hours = [format_time(time(hour % 24), "short", locale=locale) for hour in range(25)]
    return [
        (
            name,
            [
                Heat(
                    f"{name} {hours[hour]}–{hours[hour + 1]}",  # noqa: RUF001 - a range has an en dash
                    value := counts.get((weekday, hour), 0),
                    _heat_level(value, most),
                )
                for hour in range(24)
            ],
        )
        for weekday, name in ((number + 1, names[number]) for number in range(WEEKDAYS))
    ]


def hour_name(hour: int) -> str:
    """Return an hour of the day for the axis of the table, such as `06` or `6 AM`."""
    locale = current_viewer().locale
    skeleton = "H" if "H" in locale.time_formats["short"].pattern else "ha"
    return format_skeleton(skeleton, time(hour), locale=locale)


def busiest_hour(table: list[tuple[str, list[Heat]]]) -> Heat | None:
    """Return the hour with the most leads. Return None if there are no leads."""
    busiest = max((heat for _, heats in table for heat in heats), key=lambda heat: heat.value)
    return busiest if busiest.value else None


def scale_ticks(highest: int) -> list[int]:
    """Return the values above zero at which a chart has a horizontal line.

    There are at most five values, and the last is at least `highest`. The distance between two lines is an
    integer: 1, 2, 2.5 or 5 times a power of ten. Among the scales that meet these rules, the one with the
    lowest top value is returned. If several have the same top value, the one with the most lines is returned.
    """
    highest = max(highest, 1)
    size = 10 ** max(0, len(str(highest)) - 2)
    steps = (size * factor // 2 for factor in (2, 4, 5, 10, 20, 40, 50) if size * factor % 2 == 0)
    scales = [(-(-highest // step) * step, step) for step in steps if highest <= 5 * step]
    top, step = min(scales)
    return list(range(step, top + 1, step))


def _heat_level(value: int, most: int) -> int:
    return -(-value * (HEAT_LEVELS - 1) // most) if most else 0


def _title(unit: Unit, local: datetime) -> str:
    return _date_text("yMMMM" if unit == "month" else "MMMEd", local)


def _label(shown: Range, local: datetime) -> str:
    if shown.unit == "month":
        return _date_text("MMM", local)
    return _date_text("Ed" if shown.label_every == 1 else "MMMd", local)


def _date_text(skeleton: str, local: datetime) -> str:
    """Return a date in the viewer's format, with the fields that `skeleton` names (a CLDR skeleton)."""
    return format_skeleton(skeleton, local, locale=current_viewer().locale)


def _describe(shown: Range, bars: list[Bar], total: int, total_before: int) -> str:
    if not total:
        return gettext(
            "No leads in the last %(range)s; %(before)s in the %(range)s before.",
            range=shown.name,
            before=total_before,
        )
    peak = max(bars, key=lambda bar: bar.value)
    return ngettext(
        "%(count)s lead in the last %(range)s, %(before)s in the %(range)s before."
        " Most: %(peak)s with %(most)s.",
        "%(count)s leads in the last %(range)s, %(before)s in the %(range)s before."
        " Most: %(peak)s with %(most)s.",
        total,
        range=shown.name,
        before=total_before,
        peak=peak.title,
        most=peak.value,
    )
