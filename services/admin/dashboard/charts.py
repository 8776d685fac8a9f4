"""Bar charts as shapes: what a template draws as SVG, with the words that say the same. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Literal
from zoneinfo import ZoneInfo

Unit = Literal["hour", "day"]
WINDOW: Final[dict[Unit, int]] = {"hour": 24, "day": 30}
# The drawing's own measures; the style sheet scales it.
WIDTH: Final = 480
HEIGHT: Final = 150
TOP: Final = 12
FOOT: Final = 22


@dataclass(frozen=True)
class Bar:
    """One hour or day. `label` stands below it where there is room, `name` tells it in words."""

    x: float
    y: float
    width: float
    height: float
    value: int
    name: str
    label: str
    now: bool


@dataclass(frozen=True)
class Chart:
    """Bars, and what they say without being seen."""

    bars: list[Bar]
    total: int
    ceiling: int
    said: str


def begin(unit: Unit, now: datetime, zone: ZoneInfo) -> datetime:
    """Return where the window begins: a full hour or midnight of the zone."""
    return buckets(unit, now, zone)[0]


def buckets(unit: Unit, now: datetime, zone: ZoneInfo) -> list[datetime]:
    """Return the beginnings of all hours or days of the window, the current one last."""
    here = now.astimezone(zone)
    if unit == "hour":
        # Over UTC, or an hour that summer time takes would be counted twice.
        hour = here.replace(minute=0, second=0, microsecond=0).astimezone(UTC)
        return [hour - timedelta(hours=back) for back in reversed(range(WINDOW[unit]))]
    day = here.replace(hour=0, minute=0, second=0, microsecond=0)
    days = [day - timedelta(days=back) for back in reversed(range(WINDOW[unit]))]
    return [each.astimezone(UTC) for each in days]


def draw(unit: Unit, counts: Mapping[datetime, int], now: datetime, zone: ZoneInfo) -> Chart:
    """Lay the bars out over the window."""
    known = {at.astimezone(UTC): leads for at, leads in counts.items()}
    beginnings = buckets(unit, now, zone)
    values = [known.get(at, 0) for at in beginnings]
    top, step = ceiling(max(values)), WIDTH / len(values)
    bars = []
    for place, (at, value) in enumerate(zip(beginnings, values, strict=True)):
        here = at.astimezone(zone)
        height = (HEIGHT - TOP - FOOT) * value / top
        bars.append(
            Bar(
                x=round(place * step + step * 0.14, 1),
                y=round(HEIGHT - FOOT - height, 1),
                width=round(step * 0.72, 1),
                height=round(height, 1),
                value=value,
                name=f"{here:%a %H:%M}" if unit == "hour" else f"{here:%a} {here.day} {here:%b}",
                label=_label(unit, here, len(values) - 1 - place),
                now=place == len(values) - 1,
            )
        )
    return Chart(bars, sum(values), top, _say(unit, bars))


def ceiling(highest: int) -> int:
    """Return a round number that no bar exceeds, and whose half is whole: 4, or 1, 2 or 5 with noughts."""
    if highest <= 4:
        return 4
    size = 10
    while highest > 5 * size:
        size *= 10
    return next(step * size for step in (1, 2, 5) if highest <= step * size)


def _label(unit: Unit, here: datetime, back: int) -> str:
    if unit == "hour":
        return f"{here:%H}" if back % 4 == 0 else ""
    return f"{here.day} {here:%b}" if back % 6 == 0 else ""


def _say(unit: Unit, bars: list[Bar]) -> str:
    total, most = sum(bar.value for bar in bars), max(bars, key=lambda bar: bar.value)
    if not total:
        return f"No leads in the last {len(bars)} {unit}s."
    return (
        f"{total} leads in the last {len(bars)} {unit}s. Most in one {unit}: {most.value}, {most.name}. "
        f"In the current {unit}: {bars[-1].value}."
    )
