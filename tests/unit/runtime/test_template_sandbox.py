"""The sandbox of operators' templates: no access to the process, and limited work."""

import time
from typing import Any

import pytest
from jinja2 import TemplateError, TemplateSyntaxError

from runtime.template_sandbox import LimitError, TemplateSandbox


def render(source: str, **values: Any) -> str:
    environment = TemplateSandbox()
    return environment.render_bounded(environment.from_string(source), values, 10_000)


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
        "{{ '{:>1000000000}'.format('a') }}",
        "{{ '{a:>1000000000}'.format_map({'a': 1}) }}",
        "{{ 'a' | attr('format') }}{{ nothing.x }}",
        "{{ {'a': 1} | tojson(indent=1000000000) }}",
        "{{ 'a' | indent(1000000000) }}",
        "{{ [1] | slice(1000000000) | list }}",
        "{{ [1] | batch(1000000000, 'a') | list }}",
        "{{ 1.5 | round(1000000000, 'ceil') }}",
        "{{ (5).to_bytes(1000000000, 'big') }}",
        "{{ 'a'.translate({97: 'b'}) }}",
        "{{ 10 ** 1000 }}",
    ],
)
def test_what_reaches_the_process_or_uses_up_the_memory_is_refused(source: str) -> None:
    with pytest.raises((TemplateError, LimitError, TypeError)):
        render(source)


def test_names_are_formatted_and_small_numbers_multiplied() -> None:
    assert render("{{ 'a %(x)s %% b' % {'x': value} }} {{ 3 * 4 }}", value="v") == "a v % b 12"


@pytest.mark.parametrize(
    "source",
    [
        "{% for character in message %}{% endfor %}",
        "{% for a in words %}{% for b in words %}{% for c in words %}{% endfor %}{% endfor %}{% endfor %}",
        "{% set x %}{% for a in words %}{{ message }}{% endfor %}{% endset %}",
        "{% set x %}{% for a in words %}" + "static " * 1000 + "{% endfor %}{% endset %}",
        "{% set a = message %}" + "{% set a = a ~ a %}" * 40,
        "{% set a = message %}" + "{% set a = a + a %}" * 40,
        "{% set a = [message] %}" + "{% set a = [a, a] %}" * 40 + "{{ a }}",
        "{{ message | replace('', message) | length }}",
        "{{ message.replace('', message) | length }}",
        "{{ message | list | join(message) | length }}",
        "{{ message.join(words) | length }}",
        "{{ words | map('replace', 'm', message) | list | length }}",
        "{{ '" + "%(x)s" * 1000 + "' % {'x': message} }}",
        "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(40) }}",
        "{{ message }}",
    ],
)
def test_a_long_message_makes_no_endless_work(source: str) -> None:
    message = "m " * 6000
    began = time.thread_time()
    with pytest.raises(LimitError):
        render(source, message=message, words=message.split())
    assert time.thread_time() - began < 5


def test_a_recursive_loop_is_a_mistake_of_the_template() -> None:
    with pytest.raises(TemplateSyntaxError, match="must not be recursive"):
        render("{% for a in [1] recursive %}{{ loop([a]) }}{% endfor %}")


@pytest.mark.parametrize(
    ("source", "result"),
    [
        ("{% for a in words %}{{ loop.index }}/{{ loop.length }}{{ a }} {% endfor %}", "1/2x 2/2y "),
        ("{% for a, b in {'k': 'v'}.items() %}{{ a }}{{ b }}{% else %}none{% endfor %}", "kv"),
        ("{% for a in [] %}{% else %}none{% endfor %}", "none"),
        ("{{ 'a' ~ 1 ~ words[0] }} {{ 'a' + 'b' }} {{ 1.5 + 2 }} {{ -3 }}", "a1x ab 3.5 -3"),
        ("{% filter upper %}a{{ words[1] }}{% endfilter %}", "AY"),
        ("{% set a | upper %}b{% endset %}{{ a }}", "B"),
        ("{{ words | join(', ') }} {{ ', '.join(words) }} {{ words | map('upper') | join }}", "x, y x, y XY"),
        ("{{ 'a-b' | replace('-', '+') }} {{ 'a-b'.replace('-', '', 1) }}", "a+b ab"),
        ("{{ 1.55 | round(1) }} {{ words | tojson }} {{ 'ab' | first }}", '1.6 ["x", "y"] a'),
        ("{% macro f(a) %}<{{ a }}>{% endmacro %}{{ f('b') }}", "<b>"),
        ("{{ {'format': 1}.format }}", "1"),
    ],
)
def test_what_templates_usually_do_works(source: str, result: str) -> None:
    assert render(source, words=["x", "y"]) == result


def test_a_joined_text_is_escaped_as_before() -> None:
    environment = TemplateSandbox(autoescape=True)
    template = environment.from_string("{{ '<' ~ name ~ ('>' | safe) }}")
    assert environment.render_bounded(template, {"name": "&"}, 100) == "&lt;&amp;>"
