"""Bar charts as shapes that a template draws as SVG, with a description for screen readers. No I/O."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Literal
from zoneinfo import ZoneInfo

Unit = Literal["hour", "day"]
WINDOW: Final[dict[Unit, int]] = {"hour": 24, "day": 30}
# Units of the SVG's viewBox; the style sheet scales it.
WIDTH: Final = 480
HEIGHT: Final = 150
TOP_MARGIN: Final = 12
BOTTOM_MARGIN: Final = 22
PLOT_HEIGHT: Final = HEIGHT - TOP_MARGIN - BOTTOM_MARGIN


@dataclass(frozen=True)
class Bar:
    """The bar of one hour or day. `title` is its tooltip. `label`, empty for most bars, is the text below."""

    x: float
    y: float
    width: float
    height: float
    value: int
    title: str
    label: str
    is_current: bool


@dataclass(frozen=True)
class Tick:
    """A line of the scale. `y` is its position, and `value` its label."""

    y: float
    value: int


@dataclass(frozen=True)
class Chart:
    """Bars, the lines of their scale, and a description for screen readers."""

    bars: list[Bar]
    ticks: list[Tick]
    total: int
    description: str


def window_start(unit: Unit, now: datetime, zone: ZoneInfo) -> datetime:
    """Return the start of the last 24 hours or 30 days: a full hour, or midnight in the zone."""
    return bucket_starts(unit, now, zone)[0]


def bucket_starts(unit: Unit, now: datetime, zone: ZoneInfo) -> list[datetime]:
    """Return the start of each of the last 24 hours or 30 days in UTC; the last is the current one."""
    local = now.astimezone(zone)
    if unit == "hour":
        # Subtract in UTC: in local time, the hour that daylight saving skips would be counted twice.
        hour = local.replace(minute=0, second=0, microsecond=0).astimezone(UTC)
        return [hour - timedelta(hours=back) for back in reversed(range(WINDOW[unit]))]
    day = local.replace(hour=0, minute=0, second=0, microsecond=0)
    days = [day - timedelta(days=back) for back in reversed(range(WINDOW[unit]))]
    return [each.astimezone(UTC) for each in days]


def bar_chart(unit: Unit, counts: Mapping[datetime, int], now: datetime, zone: ZoneInfo) -> Chart:
    """Return the chart of the leads of each hour or day.

    `counts` has the number of leads by the start of the hour or day, which may be absent if it had none.
    """
    utc_counts = {at.astimezone(UTC): count for at, count in counts.items()}
    starts = bucket_starts(unit, now, zone)
    values = [utc_counts.get(at, 0) for at in starts]
    scale, step = scale_ticks(max(values)), WIDTH / len(values)
    bars = []
    for index, (at, value) in enumerate(zip(starts, values, strict=True)):
        local = at.astimezone(zone)
        height = PLOT_HEIGHT * value / scale[-1]
        bars.append(
            Bar(
                x=round(index * step + step * 0.14, 1),
                y=round(HEIGHT - BOTTOM_MARGIN - height, 1),
                width=round(step * 0.72, 1),
                height=round(height, 1),
                value=value,
                title=f"{local:%a %H:%M}" if unit == "hour" else f"{local:%a} {local.day} {local:%b}",
                label=_bar_label(unit, local, len(values) - 1 - index),
                is_current=index == len(values) - 1,
            )
        )
    ticks = [Tick(round(HEIGHT - BOTTOM_MARGIN - PLOT_HEIGHT * tick / scale[-1], 1), tick) for tick in scale]
    return Chart(bars, ticks, sum(values), _describe(unit, bars))


def scale_ticks(highest: int) -> list[int]:
    """Return the values at which a chart has a line, above zero: at most five, the last at least `highest`.

    The distance of the lines is 1, 2, 2.5 or 5 times a power of ten, and a whole number. Of the possible
    scales, this is the one with the lowest top, and then the one with the most lines. `highest` is above
    two thirds of its top, because one of them has three lines or more.
    """
    highest = max(highest, 1)
    size = 10 ** max(0, len(str(highest)) - 2)
    steps = (size * factor // 2 for factor in (2, 4, 5, 10, 20, 40, 50) if size * factor % 2 == 0)
    scales = [(-(-highest // step) * step, step) for step in steps if highest <= 5 * step]
    top, step = min(scales)
    return list(range(step, top + 1, step))


def _bar_label(unit: Unit, local: datetime, buckets_ago: int) -> str:
    if unit == "hour":
        return f"{local:%H}" if buckets_ago % 4 == 0 else ""
    return f"{local.day} {local:%b}" if buckets_ago % 6 == 0 else ""


def _describe(unit: Unit, bars: list[Bar]) -> str:
    total, peak = sum(bar.value for bar in bars), max(bars, key=lambda bar: bar.value)
    if not total:
        return f"No leads in the last {len(bars)} {unit}s."
    leads = "lead" if total == 1 else "leads"
    return (
        f"{total} {leads} in the last {len(bars)} {unit}s. Busiest {unit}: {peak.title} with {peak.value}. "
        f"Current {unit}: {bars[-1].value}."
    )
