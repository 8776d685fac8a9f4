"""SendGrid's Event Webhook, signed with ECDSA.

Source: Twilio SendGrid, "Event Webhook Reference" and "Getting Started with the Event Webhook Security
Features".
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key

from contracts.mail_events import is_hard_bounce, status_in
from services.ingest.mail_events.provider import (
    TAG,
    ForgedError,
    Header,
    InvalidEventsError,
    Parsed,
    check_window,
    find_mail,
    mapping,
    read_json,
    text,
)

_SIGNATURE: Final = b"x-twilio-email-event-webhook-signature"
_TIMESTAMP: Final = b"x-twilio-email-event-webhook-timestamp"
# SendGrid did not send the email, because an earlier one had bounced or the address has no valid form.
_BAD_ADDRESS: Final = ("bounced address", "invalid")


def load_public_key(value: str) -> EllipticCurvePublicKey:
    """Return the verification key that SendGrid shows: DER in base64. Raises `ValueError`."""
    try:
        key = load_der_public_key(base64.b64decode(value, validate=True))
    except (ValueError, binascii.Error) as error:
        raise ValueError("is not a verification key of SendGrid") from error
    if not isinstance(key, EllipticCurvePublicKey):
        raise ValueError("is not an ECDSA key")  # noqa: TRY004 - pydantic reports a ValueError
    return key


class SendGrid:
    """Verifies that a request is signed with one of `public_keys`, each in base64."""

    def __init__(self, public_keys: Sequence[str]) -> None:
        self._keys = [load_public_key(each) for each in public_keys]

    def check_headers(self, header: Header) -> None:
        """Raise `ForgedError` if the signature or its time is missing."""
        if not (header(_SIGNATURE) and header(_TIMESTAMP)):
            raise ForgedError

    async def read(self, header: Header, body: bytes, now: datetime) -> Parsed:
        """Return the bounces and complaints. Raises `ForgedError` or `InvalidEventsError`."""
        timestamp = header(_TIMESTAMP) or ""
        if not self._is_signed(header(_SIGNATURE) or "", timestamp.encode() + body):
            raise ForgedError
        check_window(timestamp, now)
        events = read_json(body)
        if not isinstance(events, list):
            raise InvalidEventsError
        parsed = Parsed()
        for event in events:
            _add(parsed, mapping(event))
        return parsed

    def _is_signed(self, signature: str, signed: bytes) -> bool:
        try:
            decoded = base64.b64decode(signature, validate=True)
        except (ValueError, binascii.Error):
            return False
        return any(_verifies(key, decoded, signed) for key in self._keys)


def _verifies(key: EllipticCurvePublicKey, signature: bytes, signed: bytes) -> bool:
    try:
        key.verify(signature, signed, ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True


def _add(parsed: Parsed, event: Mapping[str, Any]) -> None:
    name = event.get("event")
    if name == "deferred":
        parsed.skip("soft")
        return
    if name not in ("bounce", "dropped", "spamreport"):
        parsed.skip("ignored")
        return
    reason, status = text(event.get("reason")), text(event.get("status"))
    code, enhanced = status_in(reason)
    enhanced = status_in(status)[1] or enhanced
    if name == "dropped":
        hard = reason.lower().startswith(_BAD_ADDRESS)
    else:
        is_address = text(event.get("bounce_classification")).lower() == "invalid address"
        hard = event.get("type") != "blocked" and (is_address or is_hard_bounce(code, enhanced))
    parsed.add(
        "sendgrid",
        text(event.get("sg_event_id")) or f"{event.get('smtp-id')} {event.get('timestamp')}",
        event.get("timestamp"),
        # `smtp-id` is the Message-ID. A complaint lacks it, and has the unique argument that we send.
        find_mail(event.get("smtp-id"), event.get(TAG)),
        type="complained" if name == "spamreport" else "bounced",
        hard=hard and name != "spamreport",
        code=code,
        enhanced=enhanced,
        recipient=event.get("email"),
        answer=reason,
    )
