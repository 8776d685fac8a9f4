"""The overview's chart and its table of hours, as shapes and texts that templates draw. No I/O.

The template draws the bars as SVG, which is stretched to the width of the page. All text is HTML beside the
SVG, so that it is not stretched (ADR 0037).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from services.admin.store.leads.trends import Count, Unit

# Units of the SVG's viewBox, which the style sheet stretches. `BAR` is the width of a bar and of the space
# beside it.
BAR: Final = 10
HEIGHT: Final = 100
HEAT_LEVELS: Final = 5
WEEKDAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


@dataclass(frozen=True)
class Range:
    """The period that the overview shows: the last days or months, including the current one.

    The chart has `bars` bars, one for each `unit`. Every `label_every`-th bar has a label on the axis. `bars`
    must be a multiple of `label_every`.
    """

    key: str
    name: str
    unit: Unit
    bars: int
    label_every: int


RANGES: Final[Mapping[str, Range]] = {
    each.key: each
    for each in (
        Range("7", "7 days", "day", 7, 1),
        Range("30", "30 days", "day", 30, 6),
        Range("90", "90 days", "day", 90, 18),
        Range("12m", "12 months", "month", 12, 1),
    )
}
DEFAULT_RANGE: Final = "30"


@dataclass(frozen=True)
class Bar:
    """A bar of the chart: the leads of one day or month.

    `value` is the number of leads. `before` is the number in the corresponding day or month of the previous
    period. `x`, `height` and the `y`s are in units of the SVG.
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


@dataclass(frozen=True)
class Chart:
    """The bars, the values of the vertical scale from the top down to zero, the axis labels, and the totals.

    `description` says the same in words, for screen readers.
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
    """A cell of the table of hours: the leads of one hour of one weekday.

    `level` is from 0 (no leads) to `HEAT_LEVELS` - 1 (the most leads).
    """

    title: str
    value: int
    level: int


def bucket_starts(shown: Range, now: datetime, zone: ZoneInfo) -> list[datetime]:
    """Return the start, in UTC, of each day or month: of the previous period first, then of the range."""
    local = now.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    backwards = range(2 * shown.bars - 1, -1, -1)
    if shown.unit == "day":
        return [(local - timedelta(days=back)).astimezone(UTC) for back in backwards]
    months = [local.year * 12 + local.month - 1 - back for back in backwards]
    return [local.replace(year=each // 12, month=each % 12 + 1, day=1).astimezone(UTC) for each in months]


def range_start(shown: Range, now: datetime, zone: ZoneInfo) -> datetime:
    """Return when the range begins, in UTC."""
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
    """Return a row for each weekday: its name, and its 24 hours.

    `counts` maps a weekday (1 is Monday) and an hour to the number of leads.
    """
    most = max(counts.values(), default=0)
    return [
        (
            name,
            [
                Heat(
                    f"{name} {hour:02}:00–{hour + 1:02}:00",  # noqa: RUF001 - a range has an en dash
                    value := counts.get((weekday, hour), 0),
                    _heat_level(value, most),
                )
                for hour in range(24)
            ],
        )
        for weekday, name in enumerate(WEEKDAYS, 1)
    ]


def busiest_hour(table: list[tuple[str, list[Heat]]]) -> Heat | None:
    """Return the hour with the most leads; None if there are no leads."""
    busiest = max((heat for _, heats in table for heat in heats), key=lambda heat: heat.value)
    return busiest if busiest.value else None


def scale_ticks(highest: int) -> list[int]:
    """Return the values above zero at which a chart has a horizontal line.

    There are at most five values, and the last is at least `highest`. The distance between two lines is a
    whole number: 1, 2, 2.5 or 5 times a power of ten. Of the scales that meet these rules, this is the one
    with the lowest top value, and of two with the same top value, the one with more lines.
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
    return f"{local:%B %Y}" if unit == "month" else f"{local:%a} {local.day} {local:%b}"


def _label(shown: Range, local: datetime) -> str:
    if shown.unit == "month":
        return f"{local:%b}"
    return f"{local:%a} {local.day}" if shown.label_every == 1 else f"{local.day} {local:%b}"


def _describe(shown: Range, bars: list[Bar], total: int, total_before: int) -> str:
    if not total:
        return f"No leads in the last {shown.name}; {total_before} in the {shown.name} before."
    peak = max(bars, key=lambda bar: bar.value)
    leads = "lead" if total == 1 else "leads"
    return (
        f"{total} {leads} in the last {shown.name}, {total_before} in the {shown.name} before. "
        f"Most: {peak.title} with {peak.value}."
    )
