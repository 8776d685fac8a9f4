"""The preview of an email, as the notifier returns it."""

from pydantic import BaseModel


class MailPreview(BaseModel):
    """An email about an invented lead, as it would be sent."""

    sender: str
    reply_to: str | None
    to: str
    subject: str
    text: str
    html: str
    # Older notifiers do not send them.
    warnings: list[str] = []
    is_built_in: bool = False


class UndeliverableMail(BaseModel):
    """An email that can never be sent, and the reason, which is one of `contracts.reasons`."""

    reason: str
