"""The preview of an email, which the notifier composes and admin shows."""

from typing import Literal

from pydantic import BaseModel

PreviewKind = Literal["welcome", "admin_alert", "alert_digest"]


class MailPreview(BaseModel):
    """An email about an invented lead, as it would be sent.

    `warnings` say what is wrong with the templates of the site. `is_built_in` is True if the site has its own
    templates, but this email is made with those of FASTCore because of a mistake.
    """

    sender: str
    reply_to: str | None
    to: str
    subject: str
    text: str
    html: str
    warnings: list[str]
    is_built_in: bool


class UndeliverableMail(BaseModel):
    """An email that can never be sent, and the reason, which is one of `contracts.reasons`."""

    reason: str
