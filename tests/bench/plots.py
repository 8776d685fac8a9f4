"""Draws a run's curves for docs/performance.md."""

import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import pygal
from pygal.style import CleanStyle

from deploy.embedded.settings import ROOT
from tests.bench.measure import Curve

# pygal adds an import finder without `find_spec` for its maps, which are not used. pytest fails on it.
sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, pygal.PluginImportFixer)]

FOLDER: Final = ROOT / "docs" / "performance"


def draw(curves: Iterable[Curve], folder: Path = FOLDER) -> list[Path]:
    """Write each curve as an SVG without scripts; return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    return [_draw(curve, folder) for curve in curves]


def _draw(curve: Curve, folder: Path) -> Path:
    chart = pygal.XY(
        title=curve.name,
        x_title=curve.x,
        y_title=curve.y,
        js=[],  # no tooltip scripts from other hosts
        style=CleanStyle(font_family="sans-serif"),
        range=(0, max(y for points in curve.lines.values() for _, y in points) * 1.1),
        legend_at_bottom=True,
        width=720,
        height=400,
    )
    for name, points in curve.lines.items():
        chart.add(name, points)
    path = folder / (re.sub("[^a-z0-9]+", "-", curve.name.lower()) + ".svg")
    drawn = chart.render(is_unicode=True)
    # Remove scripts. Keep the old file if only random ids and the date in a comment differ.
    drawn = re.sub(r"<script.*?</script>|<!--.*?-->", "", drawn, flags=re.DOTALL)
    path.write_text(re.sub(r"chart-[0-9a-f-]{36}", "chart", drawn) + "\n")
    return path
