"""The body of a destination of the kind http: what a template may do, and how it fails."""

import json
from typing import Any

import pytest

from services.webhooks.body_template import (
    BODY_MAX_CHARACTERS,
    BodyTemplateError,
    compile_template,
    render_body,
)

HOSTILE = 'A "quoted" \\ name\n<b>&amp; {{ event_id }} {% raw %} \x7f 名'


def render(source: str, **lead: Any) -> str:
    data = {"name": "Ada", "message": "Hello", **lead}
    return render_body(source, {"type": "lead.received", "data": data}, "evt-1")


def test_a_template_has_the_lead_the_event_and_its_id() -> None:
    assert render("{{ lead.name }}|{{ event.type }}|{{ event_id }}") == "Ada|lead.received|evt-1"


def test_tojson_writes_any_value_so_that_json_reads_it_back() -> None:
    text = render('{"name": {{ lead.name | tojson }}, "extra": {{ lead.extra | tojson }}}',
                  name=HOSTILE, extra={"a": [1, None]})  # fmt: skip
    assert json.loads(text) == {"name": HOSTILE, "extra": {"a": [1, None]}}
    assert "名" in text


def test_a_value_is_never_taken_as_a_template() -> None:
    assert render("{{ lead.name }}", name="{{ 7 * 7 }}{% for x in y %}") == "{{ 7 * 7 }}{% for x in y %}"


def test_url_encoding_serves_form_posts() -> None:
    assert render("first_name={{ lead.name | urlencode }}", name="A&b=c d") == "first_name=A%26b%3Dc%20d"


@pytest.mark.parametrize("source", ["{{ lead.name", "{% for %}", "{{ x | nofilter }}", "{% endif %}"])
def test_a_mistake_is_found_when_the_template_is_read(source: str) -> None:
    with pytest.raises(BodyTemplateError):
        compile_template(source)


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("{{ lead.nothing }}", "UndefinedError"),
        ("{{ nothing }}", "UndefinedError"),
        ("{{ 1 / 0 }}", "ZeroDivisionError"),
        ("{{ lead.name + 1 }}", "TypeError"),
    ],
)
def test_a_failure_has_the_name_of_the_error_and_no_value(source: str, error: str) -> None:
    with pytest.raises(BodyTemplateError) as raised:
        render(source, name="secret name")
    assert str(raised.value) == error
    assert raised.value.__cause__ is None


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__ }}", "{{ lead.__class__ }}",
        "{{ ().__class__.__base__.__subclasses__() }}",
        "{{ self.__init__.__globals__ }}", "{{ lead.update({'name': 'x'}) }}", "{{ range(9) }}",
        "{{ lipsum() }}", "{{ cycler('a') }}", "{% include 'x' %}", "{% import 'x' as y %}",
        "{{ ('%s' | format(1)) }}",
        "{{ 'a'.ljust(1000000000) }}", "{{ lead.name.zfill(1000000000) }}",
        "{{ lead['name'].center(1000000000) }}",
        "{{ ''.format.__globals__ }}", "{{ '{0.__class__}'.format(lead) }}{{ nothing }}",
    ],
)  # fmt: skip
def test_the_sandbox_refuses_what_leads_to_the_process(source: str) -> None:
    with pytest.raises(BodyTemplateError):
        render(source)


@pytest.mark.parametrize(
    "source",
    [
        "{{ 'a' * 1000000000 }}", "{{ [0] * 1000000000 }}", "{{ 10 ** 10 ** 8 }}", "{{ 2 ** 99999999 }}",
        "{{ '%999999999d' % 1 }}", "{% for a in lead.message %}{{ lead.message }}{% endfor %}",
    ],
)  # fmt: skip
def test_a_template_cannot_make_a_huge_text_or_number(source: str) -> None:
    with pytest.raises(BodyTemplateError, match="LimitError"):
        render(source, message="m" * 10_000)


def test_a_body_of_the_greatest_length_is_sent() -> None:
    assert len(render("{{ lead.message }}", message="m" * BODY_MAX_CHARACTERS)) == BODY_MAX_CHARACTERS
    with pytest.raises(BodyTemplateError, match="LimitError"):
        render("{{ lead.message }}", message="m" * (BODY_MAX_CHARACTERS + 1))


def test_small_numbers_can_be_multiplied() -> None:
    assert render("{{ 6 * 7 }} {{ 2 ** 10 }} {{ 7 % 4 }}") == "42 1024 3"


@pytest.mark.parametrize(
    ("typed", "number"),
    [
        ("+44 (0)20 7946 0000", "+442079460000"), ("0049 30/123-45.67", "+49301234567"),
        ("+1 (212) 555 0100", "+12125550100"), ("030 1234567", None), ("+44", None), ("", None),
        ("+44 20 call me", None), ("+" + "1" * 16, None), (None, None), ("+0123456789", None),
        ("+44 20 7946 000\u0660", None),
    ],
)  # fmt: skip
def test_a_phone_number_is_international_or_none(typed: str | None, number: str | None) -> None:
    assert json.loads(render("{{ lead.phone | e164 | tojson }}", phone=typed)) == number


def test_a_dictionary_becomes_a_form() -> None:
    form = render('{{ {"a": lead.name, "b": lead.message or ""} | urlencode }}', name="Ä&=\n", message=None)
    assert form == "a=%C3%84%26%3D%0A&b="
