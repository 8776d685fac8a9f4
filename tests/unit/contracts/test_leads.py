"""The names of fields in messages about an invalid lead."""

from contracts.leads import field_name


def test_field_of_an_error_never_names_what_a_visitor_wrote() -> None:
    assert field_name(("email",)) == "email"
    assert field_name(("source", "page_url")) == "source.page_url"
    assert field_name(("Ada's secret question", 3)) == "extra"
    assert field_name(()) == "body"
