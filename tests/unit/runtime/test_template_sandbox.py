"""The sandbox of operators' templates: no access to the process, no long text of a short one."""

from typing import Any

import pytest
from jinja2 import TemplateError

from runtime.template_sandbox import LimitError, TemplateSandbox


def render(source: str, **values: Any) -> str:
    return TemplateSandbox().from_string(source).render(values)


@pytest.mark.parametrize(
    "source",
    [
        "{{ 'a' * 1000000000 }}",
        "{{ 10 ** 100000000 }}",
        "{{ '%999999999d' % 1 }}",
        "{{ '%(x)999999999d' % {'x': 1} }}",
        "{{ '%s' % 'a' }}",
        "{{ 'a'.ljust(1000000000) }}",
        "{{ ''.__class__.__mro__ }}",
        "{{ range(1000000000) | list }}",
        "{{ lipsum(10000) }}",
        "{{ 'a' | center(1000000000) }}",
    ],
)
def test_what_reaches_the_process_or_uses_up_the_memory_is_refused(source: str) -> None:
    with pytest.raises((TemplateError, LimitError)):
        render(source)


def test_names_are_formatted_and_small_numbers_multiplied() -> None:
    assert render("{{ 'a %(x)s %% b' % {'x': value} }} {{ 3 * 4 }}", value="v") == "a v % b 12"
