"""The HTML of the emails works in Outlook's Word engine, Gmail and Outlook.com, and with a screen reader.

What programs support: caniemail.com (June 2026), with the names of its features. Outlook is the one for
Windows, of 2007 to 2021. For `data-ogsc`: hteumeuleu.com/2021/emails-react-outlook-com-dark-mode.
"""

import re

import pytest

from services.notifier.deliveries import KINDS
from services.notifier.mail.held_digest import HeldDigest, HeldLead, compose_held_digest
from services.notifier.mail.mail_templates import FOLDER
from services.notifier.mail.message import Identity, compose
from tests.support.factories import lead
from tests.support.mail.golden import DIGEST_ID, NOW, golden_mails
from tests.support.mail.html import Document, part_of, rules_of
from tests.support.web.contrast import contrast

# Outlook and Gmail apply these everywhere, or where the tests below say.
WORKS = {
    *("background", "border", "border-bottom", "border-collapse", "color", "display", "font-family"),
    *("font-size", "font-weight", "line-height", "margin", "padding", "text-align", "text-decoration"),
    *("vertical-align", "width"),
}
# Outlook ignores these, and the mail is complete and readable all the same.
DECORATION = {
    "border-radius": "corners are square",
    "max-width": "the table for mso has the width",
    "max-height": "mso-hide hides the preheader",
    "overflow": "mso-hide hides the preheader",
    "unicode-bidi": "dir=auto is enough for a paragraph",
    "white-space": "lines are separated by <br>",
    "word-break": "Outlook breaks long words itself",
}
MSO = {"mso-hide", "mso-padding-alt"}
# Outlook ignores them, and a layout that needs them falls apart; Gmail ignores most of them too.
FORBIDDEN = re.compile(
    r"position\s*:|float\s*:|flex|grid|calc\(|var\(|url\(|rgba\(|\brem\b|\bvh\b|\bvw\b|opacity|@import|@font-face|<img|<svg|"
    r"<v:|schemas-microsoft-com:vml|<form|<script|<link|<base|<button|<video"
)
GMAIL_CLIPS_AT = 102 * 1024
GMAIL_STYLE_MAX = 16 * 1024
MAILS = golden_mails()


def documents() -> dict[str, Document]:
    return {name: Document(part_of(content, "html")) for name, content in MAILS.items()}


@pytest.fixture(name="document", params=MAILS)
def _document(request: pytest.FixtureRequest) -> Document:
    return Document(part_of(MAILS[request.param], "html"))


def test_outlook_applies_every_declaration_or_needs_none(document: Document) -> None:
    for element in document.elements:
        assert set(element.style) <= WORKS | set(DECORATION) | MSO, element
        # caniemail css-padding: "only supported on table cells". The cell of a button has mso-padding-alt.
        if element.style.get("padding", "0") != "0" and element.tag not in ("td", "th"):
            assert "button-text" in element.classes
            assert "mso-padding-alt" in element.parents[-1].style
        # caniemail css-margin: negative values and auto are not supported.
        assert not re.search(r"-\d|auto", element.style.get("margin", ""))
        # caniemail css-max-width: not on other elements than tables.
        if "max-width" in element.style:
            assert element.tag == "table"
            assert element.attributes["width"] == "100%"
    assert FORBIDDEN.search(document.source.replace("@media (prefers", "")) is None


def test_a_table_only_for_outlook_sets_the_width(document: Document) -> None:
    begin, end = (each for each in document.conditionals if "table" in each and "<style>" not in each)
    assert begin.startswith("[if mso]><table ")
    assert 'width="600"' in begin
    assert end == "[if mso]></td></tr></table><![endif]"
    assert document.source.count("<!--[if mso]>") == document.source.count("<![endif]-->") == 3


def test_a_background_is_also_an_attribute(document: Document) -> None:
    # Word sometimes ignores `background` of a cell, and then a button would have white text on white.
    for element in document.elements:
        if element.tag in ("td", "th", "table") and "background" in element.style:
            assert element.attributes["bgcolor"] == element.style["background"]


def test_the_looks_need_no_style_sheet(document: Document) -> None:
    # caniemail html-style: Gmail drops style sheets in some accounts, and those with mistakes.
    known = {selector for selector, _ in rules_of((FOLDER / "styles.css").read_text())}
    for element in document.elements:
        for each in element.classes:
            assert f".{each}" in known
            assert element.style, element


def test_gmail_reads_the_style_sheets(document: Document) -> None:
    assert len(document.source.encode()) < GMAIL_CLIPS_AT
    assert sum(map(len, document.sheets)) < GMAIL_STYLE_MAX
    for sheet in document.sheets:
        assert sheet.count("{") == sheet.count("}")
        # A rule after a comment is ignored (html-style, note 5), and a sheet with nested rules is dropped.
        assert "/*" not in sheet
        assert not re.search(r"@media[^{]*\{[^}]*@media", sheet)
        for _, found in rules_of(sheet):
            assert all(
                value.endswith("!important") for name, value in found.items() if name != "color-scheme"
            )


def dark_rules(document: Document, condition: str) -> dict[tuple[str, str], str]:
    """Return the values of the dark theme by class and property."""
    sheet = next(each for each in document.sheets if condition in each)
    return {
        (selector.split()[-1], name): value.removesuffix(" !important")
        for selector, found in rules_of(sheet)
        for name, value in found.items()
        if selector != ":root"
    }


def test_outlook_com_gets_the_same_dark_theme(document: Document) -> None:
    # Outlook.com removes prefers-color-scheme, and marks what it recolours with data-ogsc and data-ogsb.
    dark, outlook = (dark_rules(document, each) for each in ("prefers-color-scheme", "data-ogsc"))
    del dark[".preheader", "color"]
    assert outlook == dark


CONTRASTS = [
    *((name, "card") for name in ("text", "sender", "subtitle", "small", "link")),
    ("text", "box"),
    ("footer", "page"),
    ("button-text", "button"),
    ("second-text", "second"),
]


@pytest.mark.parametrize(("foreground", "background"), CONTRASTS)
def test_text_has_enough_contrast_in_both_themes(foreground: str, background: str) -> None:
    document = documents()["admin_alert.en.eml"]
    light = {
        (selector, name): value
        for selector, found in rules_of((FOLDER / "styles.css").read_text())
        for name, value in found.items()
    }
    dark = light | dark_rules(document, "prefers-color-scheme")
    for theme in (light, dark):
        colours = [theme[f".{foreground}", "color"], theme[f".{background}", "background"]]
        assert contrast(*(each.removeprefix("#") for each in colours)) >= 4.5, colours


# A site changes the colour of its buttons in one place.
SAME_IN_BOTH = (".button", ".button-text")


def test_every_colour_has_a_value_for_the_dark_theme() -> None:
    dark = dark_rules(documents()["admin_alert.en.eml"], "prefers-color-scheme")
    for selector, found in rules_of((FOLDER / "styles.css").read_text()):
        for name in {"color", "background"} & found.keys() if selector not in SAME_IN_BOTH else ():
            assert (selector, name) in dark, f"{selector} {name}"


@pytest.mark.parametrize("name", MAILS)
def test_a_screen_reader_gets_the_structure(name: str) -> None:
    document = Document(part_of(MAILS[name], "html"))
    (html,) = document.all("html")
    assert (html.attributes["lang"], html.attributes["dir"]) == (name.split(".")[1], "ltr")
    (title,), (heading,) = document.all("title"), document.all("h1")
    assert title.text.strip()
    assert heading.text.strip()
    for table in document.all("table"):
        headers = [each for each in document.all("th") if table in each.parents]
        is_layout = table.attributes.get("role") == "presentation"
        assert is_layout or (headers and all(each.attributes["scope"] for each in headers))
    for link in document.all("a"):
        assert link.text.strip()
        assert re.match(r"(https?|mailto|tel):", link.attributes["href"])
    metas = {each.attributes.get("name"): each.attributes.get("content") for each in document.all("meta")}
    assert metas["color-scheme"] == metas["supported-color-schemes"] == "light dark"
    assert metas["viewport"] == "width=device-width, initial-scale=1"


def test_texts_of_visitors_have_their_own_direction() -> None:
    arabic = "\u0645\u0631\u062d\u0628\u0627"
    asking = lead(name=arabic, company=arabic, message=arabic, service=arabic, extra={arabic: arabic})
    identity = Identity("hello@studio.example", "Studio Nord", ("team@studio.example",))
    held = HeldLead(asking.lead_id, asking.occurred_at, arabic, "ada@example.com", arabic)
    mails = [compose(kind, asking, identity, NOW) for kind in KINDS]
    mails.append(compose_held_digest(HeldDigest(DIGEST_ID, "studio", (held,), 1), identity, NOW))
    for mail, count in zip(mails, (1, 6, 2), strict=True):
        found = [around for text, around in Document(part_of(mail.content, "html")).texts if arabic in text]
        assert len(found) >= count
        for around in found:
            assert "auto" in [each.attributes.get("dir") for each in around]


def test_a_preheader_begins_each_email_and_nobody_sees_it_twice(document: Document) -> None:
    body = document.all("body")[0]
    first = next(each for each in document.elements if body in each.parents)
    assert first.classes == ["preheader"]
    assert first.text.strip()
    assert (first.style["display"], first.style["mso-hide"]) == ("none", "all")
    assert first.attributes["aria-hidden"] == "true"
