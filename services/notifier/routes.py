"""The route from which admin gets the preview of an email. It shows an invented lead, and is not public."""

from datetime import UTC, datetime
from email import message_from_bytes, policy
from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel

from services.notifier.mail.identities import Identities
from services.notifier.mail.samples import compose_sample


class MailPreview(BaseModel):
    """An email as it would be sent. Admin reads these fields."""

    sender: str
    reply_to: str | None
    to: str
    subject: str
    text: str
    html: str


def preview_routes(identities: Identities) -> APIRouter:
    """Return the router of the previews."""
    router = APIRouter(prefix="/internal/mails", include_in_schema=False)

    @router.get("/{kind}")
    async def preview_mail(
        kind: Literal["welcome", "admin_alert"], site: str = "default", locale: str | None = None
    ) -> MailPreview:
        """Return the email that a lead of this site and locale would cause."""
        mail = compose_sample(kind, site, identities.of(site), datetime.now(UTC), locale=locale)
        message = message_from_bytes(mail.content, policy=policy.default)
        parts = [message.get_body((subtype,)) for subtype in ("plain", "html")]
        text, html = (str(part.get_content()) if part else "" for part in parts)
        return MailPreview(
            sender=str(message["From"]),
            reply_to=str(message["Reply-To"]) if message["Reply-To"] else None,
            to=str(message["To"]),
            subject=str(message["Subject"]),
            text=text,
            html=html,
        )

    return router
