"""Takes the pictures of the README: `make screenshots`. An installation of its own is filled for them."""

import asyncio
import random
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import asyncpg

from tests.support.browser import Size, Theme, open_window, running_browser
from tests.support.installation import ADMIN_TOKEN, Installation, running_installation
from tests.support.smtp import SmtpServer, smtp_server
from tests.support.stack import Stack, running_stack
from tests.support.wait import eventually

FOLDER: Final = Path(__file__).parents[1] / "docs" / "screenshots"
PICTURES: Final[tuple[tuple[str, str, Size, Theme], ...]] = (
    ("overview", "/admin", "desktop", "light"),
    ("workbench", "/admin/ui/workbench", "desktop", "dark"),
    ("lead-phone", "/admin/ui/leads/{lead}", "phone", "light"),
    ("leads-phone", "/admin/ui/leads", "phone", "dark"),
)
FIRST: Final = (
    "Ada",
    "Grace",
    "Katherine",
    "Radia",
    "Barbara",
    "Annie",
    "Hedy",
    "Edsger",
    "Donald",
    "Niklaus",
)
LAST: Final = ("Lovelace", "Hopper", "Johnson", "Perlman", "Liskov", "Easley", "Lamarr", "Dijkstra", "Knuth")
COMPANIES: Final = ("Northwind", "Blue Harbour", "Fable & Sons", "Orchard Dental", "Tallis Architects", "")
SERVICES: Final = ("Web design", "Hosting", "Online shop", "SEO", "Maintenance")
STATUSES: Final = ("received", "processing", "contacted", "won", "lost")
MESSAGE: Final = (
    "Hello,\n\nour site is eleven years old and looks it. Could you call me after two?\n\nThank you!"
)
LEADS: Final = 150


@dataclass(frozen=True)
class Filled:
    """An installation with a month of leads; `lead` is one to show."""

    installation: Installation
    smtp: SmtpServer
    lead: str
    replay: str


async def post(installation: Installation, chance: random.Random, number: int, email: str = "") -> str:
    """Post somebody's lead; return its id."""
    first, last = chance.choice(FIRST), chance.choice(LAST)
    body = {
        "name": f"{first} {last}",
        "email": email or f"{first}.{last}.{number}@example.com".lower(),
        "service": chance.choices(SERVICES, (9, 6, 4, 2, 1))[0],
        "company": chance.choice(COMPANIES),
        "phone": "+44 20 7946 0958",
        "message": MESSAGE,
        "consent": True,
        "source": {"utm_source": chance.choice(("google", "newsletter", "friends")), "utm_medium": "cpc"},
    }
    answer = await installation.post(body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["leadId"])


async def spread(installation: Installation, chance: random.Random, leads: list[str]) -> None:
    """Make a month of what came in a minute."""
    connection = await asyncpg.connect(installation.database.owner)
    try:
        await connection.executemany(
            "UPDATE lead_inbox SET created_at_utc = created_at_utc - make_interval(mins => $2), status = $3"
            " WHERE id = $1",
            [
                (each, int(30 * 24 * 60 * chance.random() ** 2), chance.choices(STATUSES, (3, 2, 3, 2, 1))[0])
                for each in leads
            ],
        )
    finally:
        await connection.close()


async def settled(installation: Installation, mails: int) -> None:
    """Wait until every mail has its end, and what was refused stands in the queue."""

    async def done() -> int:
        (row,) = await installation.fetch(
            "SELECT count(*) FROM email_delivery WHERE state NOT IN ('reserved', 'sending')"
        )
        return int(row["count"])

    await eventually(done, until=lambda count: count >= mails, seconds=120, what="every mail's end")


async def refuse(smtp: SmtpServer, installation: Installation, chance: random.Random) -> str:
    """Let mails fail in three ways, and replay some; return the replay's id."""
    answers = (
        ("550 5.1.1 no such user",) * 6 + ("552 5.2.2 mailbox full",) * 3 + ("451 4.7.1 greylisted",) * 4
    )
    # Mixed, and for confirmations alone: the same answer to several in a row would be about our sender.
    for number, answer in enumerate(chance.sample(answers, len(answers))):
        email = f"customer.{number}@example.com"
        smtp.always[f"rcpt:{email}"] = answer
        await post(installation, chance, 900, email)

    async def rows() -> int:
        (row,) = await installation.fetch("SELECT count(*) FROM replay_queue")
        return int(row["count"])

    await eventually(rows, until=lambda count: count >= len(answers), seconds=60, what="the queue's rows")
    order: dict[str, Any] = {
        "state": "dead",
        "comment": "mailboxes were emptied",
        "reason": "smtp 552 5.2.2 at rcpt",
    }
    begun = await installation.admin("POST", "/admin/queue/replay", json=order)
    assert begun.status_code == 202, begun.text
    return str(begun.json()["replay"]["id"])


@asynccontextmanager
async def filled(stack: Stack, folder: Path) -> AsyncIterator[Filled]:
    """Start an installation and let a month pass."""
    chance = random.Random(7)
    async with (
        smtp_server() as smtp,
        running_installation(stack, folder, SMTP_PORT=str(smtp.port)) as installation,
    ):
        leads = [await post(installation, chance, number) for number in range(LEADS)]
        await settled(installation, 2 * LEADS)
        await spread(installation, chance, leads)
        replay = await refuse(smtp, installation, chance)
        lead = await post(installation, chance, LEADS)
        await settled(installation, 2 * LEADS + 2)
        for status in ("processing", "contacted"):
            await installation.admin("PATCH", f"/admin/leads/{lead}/status?new_status={status}")
        yield Filled(installation, smtp, lead, replay)


async def take(stack: Stack, folder: Path) -> None:
    """Take each picture."""
    FOLDER.mkdir(exist_ok=True)
    async with filled(stack, folder) as shown, running_browser() as browser:
        url = shown.installation.url
        for name, path, size, theme in PICTURES:
            async with open_window(browser, url, size, theme) as visitor:
                await visitor.sign_in(ADMIN_TOKEN)
                await visitor.open(path.format(lead=shown.lead))
                await visitor.page.screenshot(path=FOLDER / f"{name}.png")


def main() -> None:
    """Take them all."""
    with tempfile.TemporaryDirectory() as folder, running_stack(Path(folder)) as stack:
        asyncio.run(take(stack, Path(folder)))


if __name__ == "__main__":
    main()
