"""The answers in an alert: unique labels, visible text, and lines that pass for nothing of ours."""

from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.text import is_blank
from services.notifier.mail.answers import (
    break_lines,
    labelled_fields,
    quote_lines,
    visible_text,
)
from services.notifier.mail.languages import find_language
from tests.support.factories import lead
from tests.unit.notifier.mail.test_message import mail, part

ENGLISH = find_language("en")
QUESTION = "On a scale from 1 to 5, how satisfied are you with these aspects of our website for customers: "


def text_of(**changes: Any) -> str:
    return part(mail("admin_alert", **changes), "plain")


def html_of(**changes: Any) -> str:
    return part(mail("admin_alert", **changes), "html")


def test_text_that_hides_or_reverses_is_removed() -> None:
    assert visible_text("a\u202eb\u200bc\x00d\x1be\r\nf") == "abcde\nf"


def test_joiners_direction_marks_and_line_breaks_are_kept() -> None:
    kept = "\u0645\u06cc\u200c\u062e \U0001f468\u200d\U0001f469 \u05d0\u200f!"
    assert visible_text(kept) == kept
    assert visible_text("1\v2\u20283\r4\x855") == "1\n2\n3\n4\n5"


def test_labels_that_begin_alike_or_become_equal_are_all_shown() -> None:
    extra = {f"{QUESTION}[{aspect}]": aspect for aspect in ("Speed", "Design", "Content")}
    extra |= {"size": "1", "si\u200bze": "2", "\u200b": "3", "x" * 300: "4", "x" * 301: "5"}
    fields = labelled_fields(lead(extra=extra), ENGLISH).all
    assert fields[f"Extra {QUESTION}[Speed]"] == "Speed"
    assert set(extra.values()) <= set(fields.values())


def test_lists_and_files_are_no_json() -> None:
    file = {"id": "x", "name": "plan.pdf", "url": "https://files.example/1"}
    fields = labelled_fields(lead(extra={"services": ["Web", "SEO"], "file": [file]}), ENGLISH).all
    assert fields["Extra services"] == "Web, SEO"
    assert fields["Extra file"] == "plan.pdf (https://files.example/1)"


def test_unknown_field_replaces_none_of_ours() -> None:
    fields = labelled_fields(
        lead(phone="1", source={"phone": "2", "Phone": "3", "utm_source": "x"}, extra={"Phone": "4"}),
        ENGLISH,
    ).all
    assert (fields["Phone"], fields["Campaign source"]) == ("1", "x")
    assert {fields["Source phone"], fields["Source Phone"], fields["Extra Phone"]} == {"2", "3", "4"}


def test_long_answers_are_shown_in_lines_and_quoted() -> None:
    answer = "Line one\n\nMessage:\n\nI am spoofed\nPhone: +1 900 000"
    text = text_of(extra={"project": answer}, phone="+44 20", message="Hi\nLead 0").replace("\r\n", "\n")
    lines = text.splitlines()
    assert [line for line in lines if line.startswith("Phone:")] == ["Phone: +44 20"]
    assert lines.count("Message:") == 1
    assert quote_lines(answer) in text
    assert "> Hi\n> Lead 0" in text
    assert "Line one<br><br>Message:<br>" in html_of(extra={"project": answer})


def test_lead_without_a_name_or_a_message_is_a_website_visitor() -> None:
    for text in (text_of(name=None, email=None, message=""), html_of(name=None, email=None, message="")):
        assert "Website visitor" in text
        assert "Message" not in text
        assert "mailto" not in text


class _Directions(HTMLParser):
    """Collects the texts that are in no element with `dir="auto"`."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[bool] = []
        self.outside: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("br", "meta"):
            self.open.append(("dir", "auto") in attrs)

    def handle_endtag(self, tag: str) -> None:
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if not any(self.open):
            self.outside.append(data)


def test_every_text_of_a_visitor_has_its_own_direction() -> None:
    typed = "\u05e9\u05dc\u05d5\u05dd"
    names = ("name", "company", "phone", "service", "message", "locale")
    html = html_of(**dict.fromkeys(names, typed), extra={typed: typed}, source={"utm_term": typed})
    parser = _Directions()
    parser.feed(html + part(mail("welcome", name=typed), "html"))
    assert html.count(typed) >= len(names) + 2
    assert typed not in "".join(parser.outside)


def test_markup_stays_text_in_every_line() -> None:
    assert break_lines("<b>\n&") == "&lt;b&gt;<br>&amp;"


@pytest.mark.parametrize("key", ["extra", "source"])
@given(answers=st.dictionaries(st.text(max_size=8), st.text(max_size=40), max_size=8))
def test_every_answer_is_shown_and_none_begins_a_line(key: str, answers: dict[str, str]) -> None:
    fields = labelled_fields(
        lead(**{key: {f"x{name}": value for name, value in answers.items()}}), ENGLISH
    ).all
    shown = sum(bool(visible_text(value)) for value in answers.values())
    assert len(fields) == len(labelled_fields(lead(), ENGLISH).all) + shown
    assert all("\n" not in label and not is_blank(label) for label in fields)
