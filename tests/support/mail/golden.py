"""`python -m tests.support.mail.golden`: write the golden emails anew, after a text or template has changed.

Each is the whole mail as it goes to the mail server, in a language.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from uuid import UUID

from services.notifier.deliveries import KINDS
from services.notifier.mail.alert_digest import AlertDigest, ListedLead, compose_alert_digest
from services.notifier.mail.held_digest import HeldDigest, HeldLead, compose_held_digest
from services.notifier.mail.languages import LANGUAGES
from services.notifier.mail.message import Identity, compose
from services.notifier.mail.samples import sample_lead, sample_listed_lead, sample_other_leads

FOLDER: Final = Path(__file__).parents[2] / "unit" / "notifier" / "mail" / "golden"
NOW: Final = datetime(2026, 1, 3, 10, 31, tzinfo=UTC)
DIGEST_ID: Final = UUID("019b0c5e-9d3a-7c41-8f0e-2a6b4c8d0e1f")
OTHER_ID: Final = UUID("019b0c5e-9d3a-7c41-8f0e-2a6b4c8d0e20")


def golden_mails() -> dict[str, bytes]:
    """Return the golden mails by the names of their files."""
    mails = dict[str, bytes]()
    for code in LANGUAGES:
        identity = Identity(
            "hello@studio.example",
            "Studio Nord",
            ("team@studio.example",),
            "https://leads.example/admin",
            reply_to="office@studio.example",
            locale=code,
            site_name="Studio Nord",
        )
        lead = sample_lead("studio", code)
        for kind in KINDS:
            mail = compose(kind, lead, identity, NOW, sample_other_leads(lead))
            mails[f"{kind}.{code}.eml"] = mail.content
        parts = AlertDigest(
            DIGEST_ID,
            lead.site,
            identity.admins,
            (
                sample_listed_lead(lead.site),
                ListedLead(OTHER_ID, NOW, "", "+49 30 1234567", "", ""),
            ),
            2,
            3,
        )
        mails[f"alert_digest.{code}.eml"] = compose_alert_digest(parts, identity, NOW).content
        held = HeldLead(lead.lead_id, lead.occurred_at, lead.name, lead.email or "", lead.message)
        digest = HeldDigest(DIGEST_ID, lead.site, (held,), 1235)
        mails[f"held_digest.{code}.eml"] = compose_held_digest(digest, identity, NOW).content
    return mails


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, content in golden_mails().items():
        (FOLDER / name).write_bytes(content)
