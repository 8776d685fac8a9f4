# ruff: noqa: RUF001 - the cases are in several scripts
"""Inputs that websites really sent, and what people see of each: `docs/cases.md` is made of this.

`python -m tests.support.web_cases` writes the page. tests/integration/pipeline/test_cases.py posts each input
to a whole installation, and compares the alert, the list, the search, the CSV and the lead's page with it.
"""

from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any, Final

from tests.support.builder_examples import EXAMPLES

CASES: Final = Path(__file__).with_name("cases")
PAGE: Final = Path(__file__).parents[2] / "docs" / "cases.md"
QUESTION: Final = (
    "On a scale from 1 to 5, how satisfied are you with the following aspects of our current website for"
    " customers: [{}]"
)
HEAD: Final = """\
# Inputs that failed elsewhere

Each row is an input that a website, a form or a person really sent, and that some software refused, cut or
hid. A test posts each to a whole installation, and compares what people see with this table. The inputs are
in `tests/support/cases`, and those of form builders in [form-builders](form-builders). The table is generated
from the test's values (`python -m tests.support.web_cases`): `⏎` is a line break, and `·` stands between
parts.

## Leads

| input | what was wrong with it | alert | list | found by | CSV | lead's page |
|---|---|---|---|---|---|---|
"""
BUILDERS_HEAD: Final = """
## Form builders

Each payload is answered with 200. Sent again, it is the same lead.

| payload | alert | list | found by | CSV | lead's page |
|---|---|---|---|---|---|
"""


OTHERS: Final = (
    "\n## Other inputs\n\n| input | what is right | test |\n|---|---|---|\n"
    "| a request that offers an upgrade (`Connection: Upgrade`), as Java's HTTP client and `curl --http2` do"
    " | the offer is ignored, and the body is a lead"
    " | [test_http_surface.py](../tests/integration/ingest/test_http_surface.py) |\n"
    "| SQL with which the services' role tries to become the owner of the tables, or to rewrite the audit log"
    " (`tests/support/cases/database`) | it is refused"
    " | [test_services_role.py](../tests/integration/database/test_services_role.py) |\n"
)


@dataclass(frozen=True)
class WebCase:
    """An input and what people see of it.

    `lead` are values of the API, `alert` and `page` are texts that the alert and the lead's page contain,
    `absent` are texts that the alert does not contain, `row` is the name in the list, `searches` find the
    lead, and `csv` are values of the export by column.
    """

    wrong: str
    lead: dict[str, Any]
    alert: tuple[str, ...]
    searches: tuple[str, ...]
    csv: dict[str, str]
    page: tuple[str, ...]
    row: str = "Probe Person"
    absent: tuple[str, ...] = field(default=())


EXPECTED: Final[dict[str, WebCase]] = {
    "d05_extra_captcha": WebCase(
        "an unknown field with a captcha's token of 5 KB",
        {"message": "Please call me.", "status": "received"},
        ("Extra h-captcha-response: P1_eee", "> Please call me."),
        ("d05@example.com",),
        {"message": "Please call me."},
        ("h-captcha-response", "P1_eee"),
    ),
    "f02_name_curly": WebCase(
        "a typographic apostrophe in a name",
        {"name": "Siobhán O’Brien", "company": "Fix & Sons"},
        ("Name: Siobhán O’Brien", "Company: Fix & Sons"),
        ("O’Brien", "O'Brien", "Brien", "obrien", "siobhan", "brien siob", "fix & sons"),
        {"name": "Siobhán O’Brien", "company": "Fix & Sons"},
        ("Siobhán O’Brien", "Fix &amp; Sons"),
        row="Siobhán O’Brien",
    ),
    "f02_name_hindi": WebCase(
        "vowel signs (combining marks)",
        {"name": "प्रिया शर्मा"},
        ("Name: प्रिया शर्मा",),
        ("प्रिया शर्मा", "शर्मा"),
        {"name": "प्रिया शर्मा"},
        ("प्रिया शर्मा",),
        row="प्रिया शर्मा",
    ),
    "f03_consent_empty": WebCase(
        'an unticked checkbox as ""',
        {"consent": None, "extra": {}},
        ("> Please call me.",),
        ("f03a@example.com",),
        {"consent": "", "message": "Please call me."},
        ("Please call me.",),
        absent=("The visitor agreed", "The visitor did not agree"),
    ),
    "f03_phone_number": WebCase(
        "a phone as a number",
        {"phone": "442079460000"},
        ("Phone: 442079460000",),
        ("442079460000", "020 7946 0000", "+44 20 7946 0000"),
        {"phone": "442079460000"},
        ("442079460000",),
    ),
    "f03_source_php_array": WebCase(
        "PHP's empty array for an object",
        {"source": None, "extra": {}},
        ("> Please call me.",),
        ("f03c@example.com",),
        {"utm_source": "", "extra": ""},
        ("Please call me.",),
        absent=("Extra", "Source"),
    ),
    "f03_submitted_at_local": WebCase(
        "a local time without a zone",
        {"submitted_at": "2024-01-03T10:30:42Z", "extra": {}},
        ("> Please call me.",),
        ("f03j@example.com",),
        {"submitted_at": "2024-01-03T10:30:42Z"},
        ("2024-01-03",),
        absent=("Extra",),
    ),
    "f03_utm_array": WebCase(
        "a campaign value twice, as a list",
        {"extra": {}},
        ("Campaign source: google, google",),
        ("f03e@example.com",),
        {"utm_source": "google, google"},
        ("google, google",),
        absent=("Extra",),
    ),
    "f04_two_links": WebCase(
        "two links with www., counted as four",
        {"status": "received", "spam_reasons": []},
        ("> Our current site is https://www.example.com",),
        ("relaunch", "www.example.org"),
        {"spam_reasons": ""},
        ("https://www.example.com",),
    ),
    "f05_crlf": WebCase(
        "CRLF line ends that exceed the limit if each counts twice",
        {"status": "received"},
        ("> xxxx",),
        ("f05@example.com",),
        {"email": "f05@example.com"},
        ("xxxx",),
    ),
    "f06_cut_emoji": WebCase(
        "half of an emoji (a lone surrogate)",
        {"extra": {}},
        ("Campaign: summer \ufffd",),
        ("f06@example.com",),
        {"utm_campaign": "summer \ufffd"},
        ("summer \ufffd",),
    ),
    "f08_zwnj": WebCase(
        "joiners inside Persian words",
        {"name": "علی رضا\u200cزاده"},
        ("رضا\u200cزاده", "> می\u200cخواهم کتاب\u200cها"),
        ("رضا\u200cزاده", "رضازاده", "کتابها"),
        {"name": "علی رضا\u200cزاده", "message": "می\u200cخواهم کتاب\u200cها"},
        ("رضا\u200cزاده", "می\u200cخواهم"),
        row="علی رضا\u200cزاده",
    ),
    "f09_line_breaks": WebCase(
        "VT, U+2028, U+2029 and NEL as line breaks",
        {},
        ("> First line\n> Second line\n> Third line\n> Fourth line\n> Fifth line\n",),
        ("second line", "fifth"),
        {"email": "f09@example.com"},
        ("First line", "Fifth line"),
        absent=("\u2028", "\v"),
    ),
    "f10_multiline_field": WebCase(
        "an answer with lines that look like fields of ours",
        {},
        (
            (
                "Extra project_description:\n> Line one\n> Line two\n>\n"
                "> Message:\n>\n> I am spoofed\n> Phone: +1 900"
            ),
        ),
        ("spoofed", "line two"),
        {"phone": ""},
        ("project_description", "I am spoofed"),
        absent=("\nPhone:", "\nI am spoofed"),
    ),
    "f11_long_labels": WebCase(
        "labels that are equal after cutting",
        {},
        tuple(
            f"{QUESTION.format(aspect)}: {n}" for aspect, n in (("Speed", 1), ("Design", 5), ("Content", 3))
        ),
        ("f11@example.com",),
        {"email": "f11@example.com"},
        ("customers: [Speed]", "customers: [Design]", "customers: [Content]"),
    ),
    "f12_rtl": WebCase(
        "Hebrew with Latin words, digits and punctuation",
        {"name": "אבי כהן"},
        ("Name: אבי כהן", "> תקציב: 5,000 ₪"),
        ("כהן", "next.js"),
        {"name": "אבי כהן"},
        ("אבי כהן", "5,000 ₪"),
        row="אבי כהן",
    ),
    "f13_email_newline": WebCase(
        "a line end after an address",
        {"email": "f13@example.com"},
        ("Email: f13@example.com",),
        ("f13@example.com",),
        {"email": "f13@example.com"},
        ("f13@example.com",),
    ),
    "f15_invisible_name": WebCase(
        "a name of invisible characters",
        {"name": None},
        ("Name: Website visitor",),
        ("f15@example.com",),
        {"name": "", "email": "f15@example.com"},
        ("f15@example.com",),
        row="f15@example.com",
    ),
}


def builder_cases() -> dict[str, WebCase]:
    """Return the payload of each form builder as a case. The person is the same in all of them."""
    return {name: _builder_case(example.body) for name, example in EXAMPLES.items()}


def _builder_case(body: dict[str, Any]) -> WebCase:
    source = {key: str(value) for key, value in body.get("source", {}).items()}
    consent = body.get("consent")
    texts = (body["name"], body["email"], body["message"], *source.values())
    campaign = {key: value for key, value in source.items() if key.startswith("utm_")}
    return WebCase(
        "",
        {"name": body["name"], "consent": None if consent is None else True},
        (f"Name: {body['name']}", f"Email: {body['email']}", f"> {body['message']}", *source.values()),
        ("grete beispiel", "beispiel gre", "bitte meld"),
        {"name": body["name"], "email": body["email"], "message": body["message"], **campaign},
        tuple(escape(text) for text in texts),
        row=body["name"],
    )


def _cell(*texts: str) -> str:
    """Return texts as the cell of a Markdown table: each as code, the middle of a long one left out."""
    return " · ".join(map(_code, texts))


def _code(text: str) -> str:
    text = text.strip("\n").replace("\n", "⏎").replace("|", "\\|")
    text = text if len(text) < 90 else f"{text[:40]}…{text[-40:]}"
    return text.replace("\u200c", "&zwnj;") if "\u200c" in text else f"`{text}`"


def _columns(case: WebCase) -> str:
    cells = (
        _cell(*case.alert),
        _cell(case.row),
        _cell(*case.searches),
        _cell(*(f"{column}={value}" for column, value in case.csv.items())),
        _cell(*case.page),
    )
    return " | ".join(cells)


def cases_page() -> str:
    """Return the page `docs/cases.md`."""
    rows = (f"| {name} | {case.wrong} | {_columns(case)} |\n" for name, case in EXPECTED.items())
    builders = (f"| {name} | {_columns(case)} |\n" for name, case in builder_cases().items())
    return HEAD + "".join(rows) + BUILDERS_HEAD + "".join(builders) + OTHERS


if __name__ == "__main__":
    PAGE.write_text(cases_page(), encoding="utf-8")
