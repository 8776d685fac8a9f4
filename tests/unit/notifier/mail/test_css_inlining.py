"""The style sheet is written into the tags of templates, and nothing else changes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import Environment

from services.notifier.mail.css_inlining import inline_css
from services.notifier.mail.languages import find_language
from services.notifier.mail.mail_templates import MailTemplates
from services.notifier.mail.samples import sample_values

STYLES = (
    '.a { color: #111; font-family: "A B" } td.a { padding: 4px } [align=left] { margin: 0 } a:hover {top: 0}'
)
OF_A = "color:#111;font-family:'A B';"


@pytest.mark.parametrize(
    ("source", "inlined"),
    [
        ('<p class="a">', f'<p class="a" style="{OF_A}">'),
        ('<td class="a b" dir="auto">', f'<td class="a b" dir="auto" style="{OF_A}padding:4px;">'),
        ("<p align=left>", '<p align=left style="margin:0;">'),
        ('<p class="a" style="color:red">', f'<p class="a" style="{OF_A}color:red">'),
        (
            '<a style="color:{{ c }}" class="a" href="{{ u | f(">") }}">',
            f'<a class="a" href="{{{{ u | f(">") }}}}" style="{OF_A}color:{{{{ c }}}}">',
        ),
        ('<br class="a" />', f'<br class="a" style="{OF_A}" />'),
        ('<tr class="a">', f'<tr class="a" style="{OF_A}">'),
        ('<body class="a">', f'<body class="a" style="{OF_A}">'),
        (
            '<!--[if mso]><td class="a"><![endif]-->',
            f'<!--[if mso]><td class="a" style="{OF_A}padding:4px;"><![endif]-->',
        ),
    ],
)
def test_a_tag_gets_the_declarations_of_the_style_sheet(source: str, inlined: str) -> None:
    assert inline_css(source, STYLES) == inlined


def test_an_attribute_bgcolor_gets_the_background() -> None:
    styles = ".a { background: #111 } .b { background: #222; color: red }"
    inlined = inline_css('<td bgcolor="#fff" class="a b"><td bgcolor="#fff"><td class="a">', styles)
    assert inlined == (
        '<td bgcolor="#222" class="a b" style="background:#222;color:red;">'
        '<td bgcolor="#fff"><td class="a" style="background:#111;">'
    )


@pytest.mark.parametrize(
    "source",
    [
        "<p>",
        '<p class="{{ a }}">',
        "{# <p class='a'> #}",
        '{{ "<p class=a>" }}',
        '<p class="b"',
        "a < b and c > d",
        '<style>.a { color: red }</style><p class="b">{{ x }}',
        '<tr class="a"{% if x %} id="b"{% endif %}>',
    ],
)
def test_all_else_stays_as_it_is(source: str) -> None:
    assert inline_css(source, STYLES) == source


@given(st.text(alphabet="<>a\"'=/ {}%#p\n\ue000\ue0010", max_size=60))
def test_no_template_changes_without_a_rule_for_it(source: str) -> None:
    kept = source.replace("\ue000", "").replace("\ue001", "")
    assert inline_css(source, ".none { color: red }") == kept


def test_a_broken_style_sheet_breaks_no_template() -> None:
    for broken in ("}{", ".a { color: ", "a[ { color:red }", "@@@", "\x00"):
        assert 'class="a"' in inline_css('<p class="a">', broken)


@pytest.mark.parametrize("own", [{}, {"welcome.html": "<p class='text'>{{ _('Thank you') }}</p>"}])
def test_a_site_replaces_the_style_sheet_of_all_its_emails(own: dict[str, str]) -> None:
    language = find_language("en")
    values = next(iter(sample_values("welcome", language)))
    site = MailTemplates({**own, "styles.css": ".text { color: #abcdef }"})
    assert "color:#abcdef;" in site.render_strictly("welcome", values, language)[2]
    assert "color:#1c2430;" in MailTemplates(own).render_strictly("welcome", values, language)[2]
    assert "#abcdef" not in MailTemplates().render_strictly("welcome", values, language)[2]


def test_the_style_sheet_is_inlined_once_and_not_for_each_email(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = list[str]()
    language = find_language("de")
    templates = MailTemplates()
    values = next(iter(sample_values("welcome", language)))
    original = Environment.preprocess

    def counted(self: Environment, source: str, name: str | None = None, filename: str | None = None) -> str:
        calls.append(name or "")
        return original(self, source, name, filename)

    monkeypatch.setattr(Environment, "preprocess", counted)
    for _ in range(3):
        templates.render_strictly("welcome", values, language)
    assert sorted(calls) == ["layout.html", "welcome.html", "welcome.txt"]
