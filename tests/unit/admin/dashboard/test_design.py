"""docs/design.md states the contrasts that the style sheet has, and they are enough (WCAG 2.2)."""

import re
from pathlib import Path

import pytest

from tests.support.web.contrast import contrast

ROOT = Path(__file__).parents[4]
STATIC = ROOT / "services/admin/dashboard/static"
CSS = (STATIC / "app.css").read_text(encoding="utf-8")
PAGE = (ROOT / "docs/design.md").read_text(encoding="utf-8")
STATED = re.findall(r"^\| `--([\w-]+)` \| `--([\w-]+)` \| ([\d.]+) \| ([\d.]+) \|$", PAGE, re.MULTILINE)


def colours() -> tuple[dict[str, str], dict[str, str]]:
    """Return the colours of the light and of the dark theme by property."""
    light, dark = (
        dict(re.findall(r"--([\w-]+): #([0-9a-f]{3}|[0-9a-f]{6})\b", block))
        for block in re.findall(r":root \{(.*?)\}", CSS, re.DOTALL)
    )
    return light, dark


def test_black_on_white_has_the_contrast_of_the_standard() -> None:
    assert contrast("000", "ffffff") == pytest.approx(21)


@pytest.mark.parametrize(("foreground", "background", "light", "dark"), STATED)
def test_a_stated_contrast_is_measured_and_enough(
    foreground: str, background: str, light: str, dark: str
) -> None:
    measured = [contrast(theme[foreground], theme[background]) for theme in colours()]
    assert [f"{each:.1f}" for each in measured] == [light, dark]
    assert min(measured) >= (3 if foreground == "field" else 4.5)


def test_every_colour_has_a_value_in_both_themes_and_a_role() -> None:
    light, dark = colours()
    assert light.keys() == dark.keys()
    assert {name for name in light if f"`--{name}`" not in PAGE} == set()
    assert len(STATED) > 20


def test_rules_use_the_colours_by_role() -> None:
    for sheet in STATIC.glob("*.css"):
        rules = re.sub(r":root \{.*?\}", "", sheet.read_text(encoding="utf-8"), flags=re.DOTALL)
        # Shadows and the veil behind a dialog are translucent.
        assert set(re.findall(r"#[0-9a-f]{3}(?:[0-9a-f]{3})?\b", rules)) == set(), sheet.name
