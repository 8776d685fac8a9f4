"""The columns of an export: their names in the API and in CSV, and how a spreadsheet shows them."""

from dataclasses import dataclass
from typing import Final, Literal


@dataclass(frozen=True)
class ExportColumn:
    """A column. `label` and `width` (in characters) are those of the spreadsheet.

    `kind` is the type of its cells. The kind `time` is in the viewer's zone, the kind `utc` in UTC. The
    columns with `usual` are selected by default.
    """

    label: str
    width: int = 16
    kind: Literal["text", "phone", "time", "utc"] = "text"
    usual: bool = False


COLUMNS: Final = {
    "id": ExportColumn("ID", 38),
    "created_at_utc": ExportColumn("Received", 17, "utc"),
    "created_at": ExportColumn("Received", 17, "time", usual=True),
    "status": ExportColumn("Status", 12, usual=True),
    "service": ExportColumn("Service", 22, usual=True),
    "name": ExportColumn("Name", 24, usual=True),
    "email": ExportColumn("Email", 30, usual=True),
    "phone": ExportColumn("Phone", 20, "phone", usual=True),
    "company": ExportColumn("Company", 24, usual=True),
    "message": ExportColumn("Message", 60, usual=True),
    "assignee": ExportColumn("Assignee", usual=True),
    "notes": ExportColumn("Notes field", 40),
    "consent": ExportColumn("Consent", 10),
    "consent_version": ExportColumn("Consent version"),
    "locale": ExportColumn("Locale", 10),
    "submitted_at": ExportColumn("Submitted", 17, "time"),
    "page_url": ExportColumn("Page", 40),
    "referrer": ExportColumn("Referrer", 30),
    "utm_source": ExportColumn("UTM source", usual=True),
    "utm_medium": ExportColumn("UTM medium", usual=True),
    "utm_campaign": ExportColumn("UTM campaign", 22, usual=True),
    "utm_term": ExportColumn("UTM term"),
    "utm_content": ExportColumn("UTM content"),
    "spam_reasons": ExportColumn("Spam reasons", 24),
    "extra": ExportColumn("Other answers", 40, usual=True),
    "site": ExportColumn("Site", usual=True),
    "request_id": ExportColumn("Request ID", 38),
    "utm_id": ExportColumn("UTM ID"),
    "gclid": ExportColumn("gclid"),
    "gbraid": ExportColumn("gbraid"),
    "wbraid": ExportColumn("wbraid"),
    "fbclid": ExportColumn("fbclid"),
    "msclkid": ExportColumn("msclkid"),
    "ttclid": ExportColumn("ttclid"),
    "li_fat_id": ExportColumn("li_fat_id"),
    "landing_page": ExportColumn("Landing page", 40),
    "page_title": ExportColumn("Page title", 30),
    "source_other": ExportColumn("Other source fields", 30),
    "first_utm_source": ExportColumn("First visit: source"),
    "first_utm_medium": ExportColumn("First visit: medium"),
    "first_utm_campaign": ExportColumn("First visit: campaign", 22),
    "first_utm_term": ExportColumn("First visit: term"),
    "first_utm_content": ExportColumn("First visit: content"),
    "first_utm_id": ExportColumn("First visit: UTM ID"),
    "first_referrer": ExportColumn("First visit: referrer", 30),
    # The notes on the lead's page, with author and time, newest first, and then the field `notes`.
    "all_notes": ExportColumn("Notes", 40, usual=True),
}
