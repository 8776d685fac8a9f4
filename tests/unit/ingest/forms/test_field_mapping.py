from time import perf_counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.forms.field_mapping import Answer, map_answers


@pytest.mark.parametrize(
    ("names", "body"),
    [
        ({"your-name": "Ada", "your-email": "a@b.example"}, {"name": "Ada", "email": "a@b.example"}),
        ({"E-Mail *": "x", "Ihre Nachricht": "Hallo"}, {"email": "x", "message": "Hallo"}),
        ({"Téléphone": "1", "Société": "X"}, {"phone": "1", "company": "X"}),
        ({"prénom": "Anne", "nom": "Dupont"}, {"name": "Anne Dupont"}),
        ({"nombre": "Ana", "apellidos": "Ruiz"}, {"name": "Ana Ruiz"}),
        ({"given-name": "Ada", "family-name": "Byron"}, {"name": "Ada Byron"}),
        ({"name": "Ada Byron", "first_name": "Ada"}, {"name": "Ada Byron"}),
        ({"form_fields[email]": "x", "tel-831": "1"}, {"email": "x", "phone": "1"}),
        ({"Kontakt": "Ada@B.example"}, {"email": "Ada@B.example"}),
        ({"utm_source": "n", "gclid": "g"}, {"source": {"utm_source": "n", "gclid": "g"}}),
        (
            {"first_utm_source": "n", "first_gclid": "g", "yclid": "y", "first_referrer": "r"},
            {"source": {"first_utm_source": "n", "first_gclid": "g", "yclid": "y", "first_referrer": "r"}},
        ),
        ({"_gotcha": "x"}, {"meta": {"honeypot": "x"}}),
        ({"email": "", "name": "  ", "tags": []}, {}),
    ],
)
def test_fields_are_found_by_their_common_names(names: dict[str, Any], body: dict[str, Any]) -> None:
    assert map_answers(Answer(name, value) for name, value in names.items()) == body


def test_names_of_the_site_come_before_the_common_ones() -> None:
    answers = [Answer("name", "Quote"), Answer("first", "Ada"), Answer("last", "Byron"), Answer("x y", "Hi")]
    fields = {"name": ["full", "first last"], "message": ["x y"], "service": ["name"]}

    assert map_answers(answers, fields) == {"name": "Ada Byron", "message": "Hi", "service": "Quote"}


def test_second_answer_for_a_field_is_an_answer_of_its_own() -> None:
    answers = [Answer("a", "1", "Message"), Answer("b", "2", "Message"), Answer("c", "3", "Message")]

    assert map_answers(answers) == {"message": "1", "Message": "2", "Message (2)": "3"}


@given(st.lists(st.tuples(st.text(max_size=9), st.text(max_size=9)), max_size=20))
def test_no_answer_is_dropped(answers: list[tuple[str, str]]) -> None:
    body = map_answers(Answer(name, value) for name, value in answers)

    kept = repr(body)
    for _, value in answers:
        assert repr(value.strip())[1:-1] in kept


def test_thousands_of_answers_take_little_time() -> None:
    answers = [Answer("field", "x", "Same label") for _ in range(40_000)]
    started = perf_counter()

    body = map_answers(answers)

    assert perf_counter() - started < 2
    assert len(body["[more answers]"]) + len(body) - 1 == len(answers)  # type: ignore[arg-type]


def test_regression_name_of_combining_marks_takes_little_time() -> None:
    started = perf_counter()
    map_answers([Answer("\u0301" * 40_000 + "\u0323" * 40_000, "x")])

    assert perf_counter() - started < 1
