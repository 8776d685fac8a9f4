"""The reply template of a site: what it may use, how long it may be, and what it becomes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.sites.file import SitesFileError, parse_sites
from runtime.sites.reply import ENCODED_MAX, FIELDS, render_reply


def in_toml(text: str) -> str:
    """Return a text as a string of TOML, in which no character has a meaning of its own."""
    return '"' + "".join(f"\\U{ord(char):08X}" for char in text) + '"'


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ nmae }}", "has a name that is no field of a lead; fields are name, email, phone,"),
        ("{{ name | upper }}", "may use only {{ field }}, `or`, and {% if field %}"),
        ("{{ name.__class__ }}", "may use only"),
        ("{{ name['x'] }}", "may use only"),
        ("{{ name() }}", "may use only"),
        ("{{ name * 1000000 }}", "may use only"),
        ("{{ name ~ name }}", "may use only"),
        ("{% for x in name %}{% endfor %}", "may use only"),
        ("{% set x = name %}", "may use only"),
        ("{% include 'x' %}", "may use only"),
        ("{% macro x() %}{% endmacro %}", "may use only"),
        ("{{ name", "is no Jinja template (line 1)"),
        ("{{ " + "not " * 230 + "name }}", "is no Jinja template"),
        (" ", "must not be empty"),
        ("ä" * 251, "is too long: it has 1506 characters in a link, and may have 1500"),
    ],
)
def test_a_mistake_in_a_template_names_the_key_and_the_reason(template: str, message: str) -> None:
    with pytest.raises(SitesFileError) as raised:
        parse_sites(f"[sites.x.reply]\nbody = {in_toml(template)}".encode())
    assert str(raised.value).startswith(f"sites.x.reply.body: {message}")


def test_a_reply_has_no_other_keys_and_a_short_subject() -> None:
    with pytest.raises(SitesFileError, match=r"sites\.x\.reply\.text: is not a known key"):
        parse_sites(b"[sites.x.reply]\ntext = 'x'")
    with pytest.raises(SitesFileError, match=r"defaults\.reply\.subject: is too long"):
        parse_sites(f"[defaults.reply]\nsubject = '{'x' * 201}'\n[sites.x]".encode())


def test_a_site_has_its_own_reply_or_that_of_the_defaults() -> None:
    sites = parse_sites(b"[defaults.reply]\nsubject = 'a'\n[sites.x.reply]\nbody = 'b'\n[sites.y]")
    own, default = sites.get("x").reply, sites.get("y").reply
    assert own
    assert default
    assert (own.subject, own.body) == (None, "b")
    assert (default.subject, default.body) == ("a", None)


def test_a_template_has_the_fields_of_a_lead() -> None:
    template = "{% if phone and not company %}{{ name or 'you' }}{% elif service == 'x' %}-{% endif %}"
    assert render_reply(template, {"phone": "1"}) == "you"
    assert render_reply(template, {"phone": "1", "name": "{{ 7*7 }}<b>"}) == "{{ 7*7 }}<b>"
    assert render_reply(template, {"company": "c", "service": "x"}) == "-"
    every = "".join(f"{{{{ {field} }}}}" for field in FIELDS)
    assert render_reply(every, dict.fromkeys(FIELDS, "a")) == "a" * len(FIELDS)


pieces = st.sampled_from(
    ["{{", "}}", "{%", "%}", " name ", " if ", " else ", " endif ", " or ", "not ", "(", ")", "'", "x", "\n"]
)


@given(st.one_of(st.text(st.characters(exclude_categories=["Cs"])), st.lists(pieces).map("".join)))
def test_each_text_is_refused_or_rendered_within_bounds(source: str) -> None:
    try:
        sites = parse_sites(f"[sites.x.reply]\nbody = {in_toml(source)}".encode())
    except SitesFileError:
        return
    reply = sites.get("x").reply
    assert reply is not None
    assert reply.body is not None
    assert len(render_reply(reply.body, dict.fromkeys(FIELDS, "x" * 10_000))) <= ENCODED_MAX * 2000
