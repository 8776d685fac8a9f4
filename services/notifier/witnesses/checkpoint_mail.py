"""Composes the email with a checkpoint. No I/O."""

from dataclasses import dataclass
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Final
from uuid import uuid4

from services.notifier.mail.message import Mail

ATTACHMENT: Final = "checkpoint.txt"
_TEXT: Final = """\
{name} sends you this as a witness of its audit log. Please keep it: you need not understand it, and there is
nothing to answer.

The attachment, {attachment}, is signed. It says that the log {origin} had {size} entries, and what they were.
If anybody changes, removes or moves one of these entries later, this file proves it, together with an export
of the log and its public key. Compare it with what others got: two files with the same number of entries must
have the same third line. If they do not, there are two logs.
"""


@dataclass(frozen=True)
class SignedCheckpoint:
    """The newest checkpoint of the sealed audit log."""

    origin: str
    size: int
    note: str


def compose_checkpoint_mail(
    checkpoint: SignedCheckpoint, witness: str, from_email: str, sender_name: str, now: datetime
) -> Mail:
    """Compose the email for one witness. The attachment is the checkpoint, byte by byte."""
    utf8 = not (witness + from_email).isascii()
    message = EmailMessage(policy=SMTP.clone(utf8=utf8))
    message["From"] = Address(sender_name, addr_spec=from_email)
    message["To"] = Address(addr_spec=witness)
    message["Subject"] = f"Audit log {checkpoint.origin}: checkpoint of {checkpoint.size} entries"
    message["Date"] = format_datetime(now)
    message["Message-ID"] = f"<{uuid4()}@{from_email.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(
        _TEXT.format(name=sender_name, attachment=ATTACHMENT, origin=checkpoint.origin, size=checkpoint.size)
    )
    # As bytes in base64, so that no mail server changes a line break of what was signed.
    message.add_attachment(
        checkpoint.note.encode(), maintype="application", subtype="octet-stream", filename=ATTACHMENT
    )
    return Mail(from_email, (witness,), message.as_bytes(), smtputf8=utf8)
