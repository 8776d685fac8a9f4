"""Each field of a lead is in each place that handles whole leads, so that a new field is forgotten nowhere.

`docs`, OpenAPI and the golden messages have tests of their own; CONTRIBUTING.md has the whole list.
"""

import re
from pathlib import Path

import pytest

from contracts.leads import LeadReceived, LeadSubmission
from services.admin.schemas.export_columns import COLUMNS
from services.admin.schemas.leads import Lead

ROOT = Path(__file__).parents[2]
# The fields of the message, by the names of their columns.
ENVELOPE = {"schema_version", "event_id", "occurred_at", "lead_id"}
FIELDS = set(LeadReceived.model_fields) - ENVELOPE
# What a visitor or the website wrote; `meta` and `request_id` belong to the request.
WRITTEN = set(LeadSubmission.model_fields) - {"meta", "request_id"}
ADMIN = "services/admin/store"
# Fields that are proof or for programs, which a spreadsheet does not show.
NOT_EXPORTED = {"consent_text", "body_sha256"}


def query(path: str, name: str) -> str:
    """Return the text of one named query of a `.sql` file, without its comments."""
    text = (ROOT / path).read_text()
    found = re.search(rf"^-- name: {name}\W*\n(.*?)(?=^-- name: |\Z)", text, re.DOTALL | re.MULTILINE)
    assert found, f"{path} has no query {name}"
    return re.sub(r"--.*", "", found[1])


def missing(text: str, fields: set[str]) -> set[str]:
    return {field for field in fields if not re.search(rf"\b{field}\b", text)}


def newest_erase_lead() -> str:
    """Return the body of `erase_lead` in the newest migration that defines it."""
    defining = re.compile(r"FUNCTION public\.erase_lead\(.*?\$(\w*)\$(.*?)\$\1\$", re.DOTALL)
    for path in sorted((ROOT / "deploy" / "migrations").glob("*.sql"), reverse=True):
        if found := defining.search(path.read_text()):
            return found[2]
    raise AssertionError("no migration defines erase_lead")


@pytest.mark.parametrize(
    ("path", "name", "fields"),
    [
        ("services/persister/queries.sql", "insert_leads", FIELDS),
        (f"{ADMIN}/leads/leads.sql", "get_lead", FIELDS),
        (f"{ADMIN}/leads/leads.sql", "lock_lead", FIELDS),
        # From these rows emails are requested: a field that is missing here is missing in the email.
        (f"{ADMIN}/leads/held.sql", "lock_held", FIELDS),
        (f"{ADMIN}/bulk/bulk_changes.sql", "lock_leads", FIELDS),
        (f"{ADMIN}/privacy/personal_data.sql", "read_lead", FIELDS),
        (f"{ADMIN}/leads/lead_exports.sql", "list_export", FIELDS - NOT_EXPORTED),
        (f"{ADMIN}/leads/lead_exports.sql", "list_chosen", FIELDS - NOT_EXPORTED),
    ],
)
def test_query_names_each_field_of_a_lead(path: str, name: str, fields: set[str]) -> None:
    assert missing(query(path, name), fields) == set()


def test_insert_names_each_field_three_times() -> None:
    text = query("services/persister/queries.sql", "insert_leads")
    assert {field for field in FIELDS if len(re.findall(rf"\b{field}\b", text)) < 3} == set()


def test_erasure_empties_each_written_field() -> None:
    body = newest_erase_lead()
    # An erased lead keeps its service and whether it consented, for statistics (docs/privacy.md).
    erased = WRITTEN - {"service", "consent"}
    assert {field for field in erased if not re.search(rf"\b{field} = ", body)} == set()


def test_lead_of_the_admin_service_has_each_field() -> None:
    assert FIELDS - {"body_sha256"} - set(Lead.model_fields) == set()


def test_export_has_a_column_for_each_field() -> None:
    assert FIELDS - NOT_EXPORTED - {"source"} - set(COLUMNS) == set()


@pytest.mark.parametrize(
    ("path", "elsewhere"),
    [
        ("services/notifier/mail/answers.py", {"message", "submitted_at"}),
        # The phone is among the contact details, which leads/contact.html shows.
        ("services/admin/dashboard/templates/leads/lead.html", {"message", "submitted_at", "phone"}),
    ],
)
def test_mail_and_page_show_each_written_field(path: str, elsewhere: set[str]) -> None:
    assert missing((ROOT / path).read_text(), WRITTEN - elsewhere) == set()
