"""Texts and numbers for a viewer: the language, the format, plurals, and values that are escaped."""

import ast
from pathlib import Path

import pytest
from babel import Locale
from babel.localedata import locale_identifiers
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from markupsafe import Markup

from services.admin import texts
from tests.support.web.texts import BRACKETED, texts_outside_of_brackets

ADMIN = Path(texts.__file__).parent
SHOWN_ERRORS = {"ConflictError", "ForbiddenError", "NotFoundError"}


@pytest.fixture
def german(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compile two catalogues of German texts."""
    folder = tmp_path / "de/LC_MESSAGES"
    folder.mkdir(parents=True)
    leads, views = Catalog("de"), Catalog("de")
    leads.add("Leads", "Anfragen")
    leads.add(("%(count)s lead", "%(count)s leads"), ("%(count)s Anfrage", "%(count)s Anfragen"))
    views.add("Save view", "Ansicht speichern")
    for page, catalogue in (("leads", leads), ("views", views)):
        with (folder / f"{page}.mo").open("wb") as file:
            write_mo(file, catalogue)
    monkeypatch.setattr(texts, "CATALOGUES", tmp_path)
    texts.find_viewer.cache_clear()
    texts._load_translations.cache_clear()


@pytest.mark.usefixtures("german")
@pytest.mark.parametrize(
    ("header", "language", "locale"),
    [
        ("de-AT,de;q=0.9,en;q=0.8", "de", "de_AT"),
        ("en-US,de;q=0.5", "en", "en_US"),
        ("fr, de;q=0.9", "de", "fr"),
        ("de;q=0, fr", "en", "fr"),
        ("", "en", "en_GB"),
        ("*, ../../etc, x" + "," * 50, "en", "en_GB"),
    ],
)
def test_the_preferred_language_with_a_catalogue_is_used(header: str, language: str, locale: str) -> None:
    viewer = texts.find_viewer(header)
    assert (viewer.language, str(viewer.locale)) == (language, locale)


@pytest.mark.usefixtures("german")
def test_all_catalogues_of_a_language_are_one() -> None:
    with texts.viewed_by(texts.find_viewer("de")):
        assert (texts.gettext("Leads"), texts.gettext("Save view")) == ("Anfragen", "Ansicht speichern")
        assert texts.ngettext("%(count)s lead", "%(count)s leads", 1) == "1 Anfrage"
        assert texts.ngettext("%(count)s lead", "%(count)s leads", 1234) == "1.234 Anfragen"
        assert texts.gettext("Not translated") == "Not translated"
    assert texts.gettext("Leads") == "Leads"


def test_values_of_html_texts_are_escaped_and_numbers_formatted() -> None:
    text = texts.gettext_html("Delete <bdi>%(name)s</bdi> (%(count)s)?", name="<b>", count=1234)
    assert text == Markup("Delete <bdi>&lt;b&gt;</bdi> (1,234)?")


def test_percent_number_and_no_value_are_those_of_the_locale() -> None:
    assert (texts.percent(0.126), texts.number(1234.5), texts.number(None)) == (
        "13%",
        "1,234.5",
        texts.NO_VALUE,
    )
    with texts.viewed_by(texts.Viewer(Locale("de"), "en", texts.DEFAULT_VIEWER.translations)):
        assert (texts.percent(0.126), texts.number(1234.5)) == ("13\u00a0%", "1.234,5")


def test_a_script_gets_the_forms_of_each_plural_category() -> None:
    assert texts.plural_forms("{count} result", "{count} results") == {
        "one": "{count} result",
        "other": "{count} results",
    }


def test_nobody_can_load_the_data_of_every_locale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "eo/LC_MESSAGES").mkdir(parents=True)
    monkeypatch.setattr(texts, "CATALOGUES", tmp_path)
    texts.find_viewer.cache_clear()
    tags = [name.replace("_", "-") for name in locale_identifiers()]
    assert len(tags) > 1000
    assert {str(texts.find_viewer(tag).locale) for tag in tags} == texts.LOCALES | {"eo"}
    assert [str(texts.find_viewer(tag).locale) for tag in ("de-LI", "eo-001", "is, de-AT")] == [
        "de",
        "eo",
        "de_AT",
    ]


@pytest.mark.parametrize("path", sorted(ADMIN.rglob("*.py")), ids=lambda path: str(path.relative_to(ADMIN)))
def test_the_text_of_an_error_is_in_a_catalogue(path: Path) -> None:
    """A page shows the texts of these errors. A literal or a text that is joined cannot be translated."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Raise(exc=ast.Call(func=ast.Name(id=name), args=[text])) if name in SHOWN_ERRORS:
                joined = any(isinstance(part, ast.JoinedStr | ast.BinOp) for part in ast.walk(text))
                is_literal = isinstance(text, ast.Constant)
                assert not joined, f"{path.name}:{node.lineno}"
                assert not is_literal, f"{path.name}:{node.lineno}"


def test_a_bare_text_is_found_outside_of_brackets() -> None:
    with texts.viewed_by(BRACKETED):
        shown = texts.gettext_html("Found <bdi>%(name)s</bdi>", name="Ada")
    page = f'<p title="Bare">{shown}<br> bare <bdi>data</bdi> 12 <input placeholder="{shown.striptags()}">'
    assert texts_outside_of_brackets(page) == ["p title: Bare", "bare"]
