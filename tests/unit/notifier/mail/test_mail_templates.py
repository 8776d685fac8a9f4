"""What the compiled templates contain: a mail only fills in its values."""

import re

import pytest
from jinja2 import DictLoader

from services.notifier.mail.languages import LANGUAGES, find_language
from services.notifier.mail.mail_templates import STYLES, MailTemplates, template_names

VALUES = {"sender": "<b>100 %</b>", "share": "5%"}


def render(name: str, text: str) -> str:
    environment = MailTemplates()._environment_of(find_language("en"))
    environment.loader = DictLoader({name: text})
    return environment.get_template(name).render(VALUES)


@pytest.mark.parametrize("code", LANGUAGES)
def test_no_translated_text_is_formatted_in_a_mail(code: str) -> None:
    environment = MailTemplates()._environment_of(find_language(code))
    assert environment.loader
    for name in sorted(template_names() - {STYLES}):
        source, file, _ = environment.loader.get_source(environment, name)
        compiled = environment.compile(source, name, file, raw=True)
        plural = re.sub(r"context\.call\(.*ngettext.*", "", compiled)  # its number chooses the text
        assert "%(" not in plural, name


def test_values_between_pieces_of_a_text_are_escaped_in_html_only() -> None:
    text = "{% trans %}To {{ sender }}: {{ share }} of 10%{% endtrans %}"
    assert render("a.txt", text) == "To <b>100 %</b>: 5% of 10%"
    assert render("a.html", text) == "To &lt;b&gt;100 %&lt;/b&gt;: 5% of 10%"


def test_the_constant_of_another_formatting_is_escaped_too() -> None:
    text = "{{ '<i>%(name)s' % {'name': share} }}"
    assert render("a.html", text) == "&lt;i&gt;5%"


def test_a_missing_value_of_a_text_is_an_error() -> None:
    with pytest.raises(Exception, match="'unknown' is undefined"):
        render("a.txt", "{% trans %}To {{ unknown }}{% endtrans %}")
