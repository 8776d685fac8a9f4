"""Writes the declarations of a style sheet into the tags of HTML templates. No I/O.

Mail programs drop style sheets or ignore most selectors, but all of them apply `style` attributes. A template
is changed once, before Jinja compiles it, so no mail takes longer.
"""

import re
from functools import lru_cache
from html import escape
from html.parser import HTMLParser
from typing import Any, Final, cast

from css_inline import CSSInliner
from jinja2 import Environment
from jinja2.ext import Extension

_EXPRESSION: Final = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.DOTALL)
# Replaces an expression by its number between two characters of the private use area, so that a quote in an
# expression does not end an attribute.
_BEGIN, _END = "\ue000", "\ue001"
_MASK: Final = re.compile(f"{_BEGIN}([0-9]+){_END}")
_NAME: Final = rf"[^\s\"'<>/={_BEGIN}{_END}]+"
_VALUE: Final = r"""(?:"[^"]*"|'[^']*'|[^\s"'<>=]+)"""
_ATTRIBUTE: Final = re.compile(rf"\s+(?P<name>{_NAME})(?:\s*=\s*(?P<value>{_VALUE}))?")
_TAG: Final = re.compile(
    rf"<(?P<name>[a-zA-Z][a-zA-Z0-9]*)(?P<attributes>(?:\s+{_NAME}(?:\s*=\s*{_VALUE})?)+)(?P<end>\s*/?>)"
)
# A parser drops these elements unless they are in a table.
_FRAMES: Final = {
    "td": "<table><tr>",
    "th": "<table><tr>",
    **dict.fromkeys(("tr", "tbody", "thead", "tfoot", "caption", "colgroup"), "<table>"),
}
_MARK: Final = "data-inlined"
_BACKGROUND: Final = re.compile(r"(?:^|;)background:\s*(#[0-9a-fA-F]{3,6})\b")
_BGCOLOR: Final = re.compile(r"""(\sbgcolor=)("[^"]*"|'[^']*')""")


class CssInlining(Extension):
    """A Jinja extension that inlines the style sheet `environment.styles` into each HTML template."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        environment.extend(styles="")

    def preprocess(self, source: str, name: str | None, filename: str | None = None) -> str:  # noqa: ARG002
        """Return the source of a template with the declarations of the style sheet."""
        if not (name or "").endswith(".html"):
            return source
        return inline_css(source, cast("Any", self.environment).styles)


def inline_css(source: str, styles: str) -> str:
    """Return a template in which each tag has the declarations that the style sheet has for the tag.

    All else stays as it is. A selector can only name a tag, its classes and its other attributes, but no
    attribute with an expression of Jinja, and no other element. The declarations of the tag's own `style`
    come last, so they win. An attribute `bgcolor` becomes the color of `background`.
    """
    expressions = list[str]()

    def mask(expression: re.Match[str]) -> str:
        expressions.append(expression[0])
        return f"{_BEGIN}{len(expressions) - 1}{_END}"

    masked = _EXPRESSION.sub(mask, source.replace(_BEGIN, "").replace(_END, ""))
    inlined = _TAG.sub(lambda tag: _with_style(tag, styles), masked)
    return _MASK.sub(lambda number: expressions[int(number[1])], inlined)


def _with_style(tag: re.Match[str], styles: str) -> str:
    attributes = list(_ATTRIBUTE.finditer(tag["attributes"]))
    known = tuple(each[0] for each in attributes if each["name"] != "style" and _BEGIN not in each[0])
    style = _style_of(styles, tag["name"].lower(), "".join(known))
    if not style:
        return tag[0]
    own = next((each["value"] or "" for each in attributes if each["name"] == "style"), "").strip("\"'")
    others = "".join(each[0] for each in attributes if each["name"] != "style")
    if background := _BACKGROUND.search(style):  # Outlook's Word engine sometimes reads only the attribute
        others = _BGCOLOR.sub(rf'\1"{background[1]}"', others)
    return f'<{tag["name"]}{others} style="{style}{own}"{tag["end"]}'


@lru_cache(maxsize=4096)
def _style_of(styles: str, name: str, attributes: str) -> str:
    """Return the declarations that the style sheet has for a tag, each with its semicolon."""
    html = f"{_FRAMES.get(name, '')}<{name} {_MARK}{attributes}>"
    reader = _StyleReader()
    reader.feed(_inliner(styles).inline(html))
    style = escape(reader.style.strip(" ;"), quote=False).replace('"', "&quot;")
    return f"{style};" if style else ""


@lru_cache(maxsize=64)
def _inliner(styles: str) -> CSSInliner:
    return CSSInliner(
        inline_style_tags=False, load_remote_stylesheets=False, minify_css=True, extra_css=styles
    )


class _StyleReader(HTMLParser):
    """Reads the `style` of the marked tag."""

    style = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        """Keep the style of the marked tag."""
        found = dict(attrs)
        if _MARK in found:
            self.style = found.get("style") or ""
