"""An installation with destinations: real receivers that accept, fail, or do what a test says."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from tests.support.mail.smtp import smtp_server
from tests.support.services.installation import SITES, Installation, running_installation
from tests.support.services.webhooks import VARIABLE, destination, in_toml
from tests.support.stack import Stack
from tests.support.web.webhook_receiver import SECRET, Receiver, webhook_receiver

ADMIN_URL: Final = "https://leads.example.com"
TEMPLATE: Final = '{"title": {{ lead.service | tojson }}, "text": {{ lead.message | tojson }}}'


async def refuse(_: web.Request) -> web.StreamResponse:
    """Answer 500, as a system does whose database is down."""
    return web.json_response(
        {"error": "internal", "message": "Ticket database is in maintenance"}, status=500
    )


@dataclass(frozen=True)
class Connected:
    """An installation and the receivers of its destinations.

    `crm` accepts webhooks, `erp` accepts them unless a test changes its `answer`, and `helpdesk` answers 500.
    The chat is `team-chat`. `sheet` accepts leads, but its settings have no request for erasures.
    """

    installation: Installation
    crm: Receiver
    erp: Receiver
    helpdesk: Receiver


@asynccontextmanager
async def running_connected(stack: Stack, folder: Path) -> AsyncIterator[Connected]:
    """Start the receivers and an installation with the destinations."""
    async with webhook_receiver() as crm, webhook_receiver() as erp, webhook_receiver() as helpdesk:
        helpdesk.answer = refuse
        plain: dict[str, Any] = {"secret": None, "kind": "http", "body": TEMPLATE}
        file = in_toml(
            destination("crm", crm.url),
            destination("erp", erp.url, events=["lead.received", "lead.status_changed"]),
            destination("sheet", crm.url, **plain),
            destination("team-chat", crm.url, kind="slack", secret=None),
            destination("helpdesk", helpdesk.url, **plain, erased_body='{"id": {{ lead.id | tojson }}}'),
        )
        async with (
            smtp_server() as smtp,
            running_installation(
                stack, folder, sites=SITES + file, SMTP_PORT=str(smtp.port), **{VARIABLE: SECRET},
                FASTCORE_WEBHOOKS_ADMIN_URL=ADMIN_URL,
            ) as installation,
        ):  # fmt: skip
            yield Connected(installation, crm, erp, helpdesk)
