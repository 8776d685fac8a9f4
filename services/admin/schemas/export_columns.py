"""The columns of an export: their names in the API and in CSV, and how a spreadsheet shows them."""

from dataclasses import dataclass
from typing import Final, Literal

from services.admin.texts import gettext_noop


@dataclass(frozen=True)
class ExportColumn:
    """A column of an export. An Excel file shows `label` as its heading. `width` is in characters.

    `kind` is the type of the cells. Times of the kind `time` are in the viewer's zone, and times of the kind
    `utc` are in UTC. Columns with `usual` are preselected in the dashboard's form. The API exports all
    columns by default.
    """

    label: str
    width: int = 16
    kind: Literal["text", "phone", "time", "utc"] = "text"
    usual: bool = False


COLUMNS: Final = {
    "id": ExportColumn(gettext_noop("ID"), 38),
    "created_at_utc": ExportColumn(gettext_noop("Received"), 17, "utc"),
    "created_at": ExportColumn(gettext_noop("Received"), 17, "time", usual=True),
    "status": ExportColumn(gettext_noop("Status"), 12, usual=True),
    "service": ExportColumn(gettext_noop("Service"), 22, usual=True),
    "name": ExportColumn(gettext_noop("Name"), 24, usual=True),
    "email": ExportColumn(gettext_noop("Email"), 30, usual=True),
    "phone": ExportColumn(gettext_noop("Phone"), 20, "phone", usual=True),
    "company": ExportColumn(gettext_noop("Company"), 24, usual=True),
    "message": ExportColumn(gettext_noop("Message"), 60, usual=True),
    "assignee": ExportColumn(gettext_noop("Assignee"), usual=True),
    "notes": ExportColumn(gettext_noop("Notes field"), 40),
    "consent": ExportColumn(gettext_noop("Consent"), 10),
    "consent_version": ExportColumn(gettext_noop("Consent version")),
    "locale": ExportColumn(gettext_noop("Locale"), 10),
    "submitted_at": ExportColumn(gettext_noop("Submitted"), 17, "time"),
    "page_url": ExportColumn(gettext_noop("Page"), 40),
    "referrer": ExportColumn(gettext_noop("Referrer"), 30),
    "utm_source": ExportColumn(gettext_noop("UTM source"), usual=True),
    "utm_medium": ExportColumn(gettext_noop("UTM medium"), usual=True),
    "utm_campaign": ExportColumn(gettext_noop("UTM campaign"), 22, usual=True),
    "utm_term": ExportColumn(gettext_noop("UTM term")),
    "utm_content": ExportColumn(gettext_noop("UTM content")),
    "spam_reasons": ExportColumn(gettext_noop("Spam reasons"), 24),
    "extra": ExportColumn(gettext_noop("Other answers"), 40, usual=True),
    "site": ExportColumn(gettext_noop("Site"), usual=True),
    "request_id": ExportColumn(gettext_noop("Request ID"), 38),
    "utm_id": ExportColumn(gettext_noop("UTM ID")),
    "gclid": ExportColumn("gclid"),
    "gbraid": ExportColumn("gbraid"),
    "wbraid": ExportColumn("wbraid"),
    "fbclid": ExportColumn("fbclid"),
    "msclkid": ExportColumn("msclkid"),
    "ttclid": ExportColumn("ttclid"),
    "li_fat_id": ExportColumn("li_fat_id"),
    "landing_page": ExportColumn(gettext_noop("Landing page"), 40),
    "page_title": ExportColumn(gettext_noop("Page title"), 30),
    "source_other": ExportColumn(gettext_noop("Other source fields"), 30),
    "first_utm_source": ExportColumn(gettext_noop("First visit: source")),
    "first_utm_medium": ExportColumn(gettext_noop("First visit: medium")),
    "first_utm_campaign": ExportColumn(gettext_noop("First visit: campaign"), 22),
    "first_utm_term": ExportColumn(gettext_noop("First visit: term")),
    "first_utm_content": ExportColumn(gettext_noop("First visit: content")),
    "first_utm_id": ExportColumn(gettext_noop("First visit: UTM ID")),
    "first_referrer": ExportColumn(gettext_noop("First visit: referrer"), 30),
    # The notes on the lead's page, with author and time, newest first, and then the field `notes`.
    "all_notes": ExportColumn(gettext_noop("Notes"), 40, usual=True),
}
