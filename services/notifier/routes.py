"""The route from which admin gets the preview of an email. It shows an invented lead, and is not public."""

from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.header import decode_header, make_header

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from contracts.mail_previews import MailPreview, PreviewKind, UndeliverableMail
from services.notifier.mail.identities import Identities
from services.notifier.mail.message import UndeliverableError
from services.notifier.mail.samples import compose_sample, compose_sample_digest
from services.notifier.mail.site_templates import template_error


def preview_routes(identities: Identities) -> APIRouter:
    """Return the router of the previews."""
    router = APIRouter(prefix="/internal/mails", include_in_schema=False)

    @router.get("/{kind}", response_model=MailPreview)
    async def preview_mail(
        kind: PreviewKind, site: str = "default", locale: str | None = None
    ) -> MailPreview | JSONResponse:
        """Return the email that a lead of this site and locale would cause.

        If it can never be sent, returns 409 and an `UndeliverableMail`.
        """
        identity = identities.of(site)
        try:
            now = datetime.now(UTC)
            if kind == "alert_digest":
                mail = compose_sample_digest(site, identity, now)
            else:
                mail = compose_sample(kind, site, identity, now, locale=locale)
        except UndeliverableError as error:
            return JSONResponse(UndeliverableMail(reason=error.reason).model_dump(), 409)
        warnings = identities.warnings(site)
        if error_text := template_error(kind, site, identity, locale):
            warnings.append(f"{error_text}. FASTCore's own templates apply")
        message = message_from_bytes(mail.content, policy=policy.default)
        parts = [message.get_body((subtype,)) for subtype in ("plain", "html")]
        text, html = (str(part.get_content()) if part else "" for part in parts)
        return MailPreview(
            sender=_sender(mail.content) or str(message["From"]),
            reply_to=str(message["Reply-To"]) if message["Reply-To"] else None,
            to=str(message["To"]),
            subject=str(message["Subject"]),
            text=text,
            html=html,
            warnings=warnings,
            is_built_in=bool(error_text) or identities.lacks_templates(site),
        )

    return router


def _sender(content: bytes) -> str:
    """Return the decoded From, or an empty text if it is not ASCII.

    The parser of `policy.default` may keep the blank between two encoded words of a name (cpython #128110).
    """
    value = message_from_bytes(content)["From"]
    return str(make_header(decode_header(value))) if isinstance(value, str) else ""
