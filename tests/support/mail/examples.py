"""`python -m tests.support.mail.examples`: write the example emails in docs/emails anew, with pictures.

They are the emails of FASTCore's own templates in English, and those of the sites in docs/emails/sites.toml.
Chromium takes the pictures.
"""

import asyncio
import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid5

from contracts.leads import LeadReceived
from runtime.sites.file import load_sites
from services.notifier.mail.alert import OtherLead, OtherLeads
from services.notifier.mail.alert_digest import AlertDigest, ListedLead, compose_alert_digest
from services.notifier.mail.held_digest import HeldDigest, HeldLead, compose_held_digest
from services.notifier.mail.identities import Identities
from services.notifier.mail.message import Identity, compose
from services.notifier.mail.samples import sample_lead
from tests.support.mail.html import part_of
from tests.support.web.browser import Theme, running_browser

FOLDER: Final = Path(__file__).parents[3] / "docs" / "emails"
HASHES: Final = FOLDER / "pictures.json"
"""The digest of the HTML part of each email of which there are pictures."""
WIDTHS: Final = (600, 375)
THEMES: Final[tuple[Theme, ...]] = ("light", "dark")
NOW: Final = datetime(2026, 3, 2, 9, 15, tzinfo=UTC)
ID: Final = UUID("019cae0e-4d3a-7c41-8f0e-2a6b4c8d0e1f")
NAMES: Final = ("Ada Lovelace", "Grace Hopper", "Katherine Johnson")
DIGEST_SITE: Final = "studio"
"""The site whose team gets a list of its leads each day."""
OURS: Final = Identity(
    "hello@studio.example",
    "North Studio",
    ("team@studio.example",),
    "https://leads.example/admin",
    reply_to="office@studio.example",
    site_name="North Studio",
)
LEADS: Final[dict[str, dict[str, Any]]] = json.loads(
    Path(__file__).with_name("example_leads.json").read_text(encoding="utf-8")
)
SOURCE: Final = {
    "utm_campaign": "spring",
    "utm_source": "google",
    "utm_medium": "cpc",
    "landing_page": "https://www.example.com/prices",
    "page_url": "https://www.example.com/contact",
}


def example_lead(site: str) -> LeadReceived:
    """Return the invented lead of a site. The empty name stands for FASTCore's own templates."""
    fields = sample_lead(site or "default", None, lead_id=ID, now=NOW).model_dump()
    return LeadReceived.model_validate(fields | {"source": SOURCE, "extra": {}} | LEADS[site])


def example_mails() -> dict[str, bytes]:
    """Return the emails by the names of their files, without `.eml`."""
    path = FOLDER / "sites.toml"
    identities = Identities(OURS, load_sites(path), path.parent)
    assert identities.warnings() == []
    mails = dict[str, bytes]()
    for site in LEADS:
        prefix = f"{site}-" if site else ""
        asking, identity = example_lead(site), identities.of(site) if site else OURS
        earlier = OtherLead(uuid5(ID, site), NOW - timedelta(days=40), asking.service)
        mails[f"{prefix}welcome"] = compose("welcome", asking, identity, NOW).content
        others = OtherLeads((earlier,), 1)
        mails[f"{prefix}alert"] = compose("admin_alert", asking, identity, NOW, others).content
    mails["digest"] = compose_alert_digest(_digest("", OURS), OURS, NOW).content
    studio = identities.of(DIGEST_SITE)
    mails[f"{DIGEST_SITE}-digest"] = compose_alert_digest(_digest(DIGEST_SITE, studio), studio, NOW).content
    mails["held-leads"] = compose_held_digest(_held_digest(), OURS, NOW).content
    return mails


def _digest(site: str, identity: Identity) -> AlertDigest:
    asking = example_lead(site)
    leads = tuple(
        ListedLead(
            uuid5(ID, name),
            NOW - timedelta(minutes=90 * (2 - number)),
            name,
            f"{name.split()[0].lower()}@example.com",
            asking.service,
            asking.message,
        )
        for number, name in enumerate(NAMES)
    )
    return AlertDigest(ID, site or "default", identity.admins, leads)


def _held_digest() -> HeldDigest:
    leads = tuple(
        HeldLead(
            uuid5(ID, name),
            NOW - timedelta(minutes=number),
            name,
            f"{name.split()[0].lower()}@example.com",
            "Please send me your prices.",
            released=number == 1,
        )
        for number, name in enumerate(NAMES)
    )
    return HeldDigest(ID, "default", leads, 27)


def picture_names(mail: str) -> list[tuple[str, int, Theme]]:
    """Return the pictures of an email: file name, width in pixels and theme.

    An email of a site has two pictures, and one of our own templates has all four.
    """
    chosen = [(width, theme) for width in WIDTHS for theme in THEMES]
    if mail.partition("-")[0] in LEADS:
        chosen = [(600, "light"), (375, "dark")]
    return [(f"{mail}-{width}-{theme}.png", width, theme) for width, theme in chosen]


def html_digests() -> dict[str, str]:
    """Return the SHA-256 digest of the HTML part of each email."""
    return {
        name: hashlib.sha256(part_of(content, "html").encode()).hexdigest()
        for name, content in example_mails().items()
    }


async def take_pictures() -> None:
    """Save the pictures of each email."""
    async with running_browser() as browser:
        for name, content in example_mails().items():
            for file, width, theme in picture_names(name):
                context = await browser.new_context(
                    viewport={"width": width, "height": 100}, color_scheme=theme
                )
                page = await context.new_page()
                await page.set_content(part_of(content, "html"))
                await page.screenshot(path=FOLDER / file, full_page=True)
                await context.close()


def main() -> None:
    """Write the raw emails, the pictures and their digests."""
    for name, content in example_mails().items():
        (FOLDER / f"{name}.eml").write_bytes(content)
    asyncio.run(take_pictures())
    HASHES.write_text(json.dumps(html_digests(), indent=2) + "\n")


if __name__ == "__main__":
    main()
