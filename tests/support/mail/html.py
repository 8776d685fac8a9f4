"""Reads the HTML part of a mail for tests: its elements with their styles, style sheets and texts."""

import re
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from html.parser import HTMLParser

VOID = {"br", "img", "hr", "meta", "link", "o:pixelsperinch"}
HIDDEN = "preheader"
"""The class of the text that only the list of an inbox shows."""


@dataclass
class Element:
    """An element, with the elements around it."""

    tag: str
    attributes: dict[str, str]
    parents: list["Element"]
    text: str = ""

    @property
    def style(self) -> dict[str, str]:
        """Return the declarations of the attribute `style`."""
        return declarations(self.attributes.get("style", ""))

    @property
    def classes(self) -> list[str]:
        return self.attributes.get("class", "").split()


def declarations(css: str) -> dict[str, str]:
    """Return the values by property."""
    pairs = (each.partition(":") for each in css.split(";") if each.strip())
    return {name.strip(): value.strip() for name, _, value in pairs}


@dataclass
class Document(HTMLParser):
    """A parsed HTML part.

    `conditionals` are the comments that only Outlook's Word engine reads. `text` is what a person reads.
    `texts` are all texts, each with the elements around it.
    """

    source: str
    elements: list[Element] = field(default_factory=list)
    conditionals: list[str] = field(default_factory=list)
    sheets: list[str] = field(default_factory=list)
    text: str = ""
    texts: list[tuple[str, list[Element]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self._open = list[Element]()
        self.feed(self.source)
        self.close()
        assert self._open == [], f"not closed: {[each.tag for each in self._open]}"

    def __hash__(self) -> int:
        return id(self)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs}, list(self._open))
        self.elements.append(element)
        if tag not in VOID:
            self._open.append(element)
        if tag in ("br", "p", "td", "th", "tr", "h1", "h2", "div"):
            self.text += " "

    def handle_endtag(self, tag: str) -> None:
        assert self._open, f"</{tag}> closes nothing"
        assert self._open[-1].tag == tag, f"</{tag}> closes <{self._open[-1].tag}>"
        self._open.pop()

    def handle_comment(self, data: str) -> None:
        self.conditionals.append(data)

    def handle_data(self, data: str) -> None:
        self.texts.append((data, list(self._open)))
        for each in self._open:
            each.text += data
        if self._open and self._open[-1].tag == "style":
            self.sheets.append(data)
        elif not any(each.tag == "head" or HIDDEN in each.classes for each in self._open):
            self.text += data

    def all(self, tag: str) -> list[Element]:
        return [each for each in self.elements if each.tag == tag]


def part_of(content: bytes, kind: str) -> str:
    """Return the part `plain` or `html` of a mail."""
    message = message_from_bytes(content, policy=policy.default)
    assert isinstance(message, EmailMessage)
    body = message.get_body((kind,))
    assert body is not None
    return str(body.get_content())


def rules_of(css: str) -> list[tuple[str, dict[str, str]]]:
    """Return each selector with its declarations. Rules in an @media are those of the screen or theme."""
    flat = re.sub(
        r"@media[^{]*\{((?:[^{}]*\{[^{}]*\})*)\s*\}", r"\1", re.sub(r"/\*.*?\*/", "", css, flags=re.DOTALL)
    )
    found = list[tuple[str, dict[str, str]]]()
    for selectors, body in re.findall(r"([^{}]+)\{([^{}]*)\}", flat):
        found += [(each.strip(), declarations(body)) for each in selectors.split(",")]
    return found
