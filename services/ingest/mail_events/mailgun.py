"""Mailgun's webhooks. The HMAC covers a time and a token, not the event.

So a token is accepted for one event only, and only for a limited time: whoever sees a request cannot use its
signature for another event. Source: Mailgun, "Webhook payloads" and "Securing webhooks".
"""

import hashlib
import hmac
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from contracts.mail_events import is_hard_bounce, status_in
from services.ingest.mail_events.provider import (
    TAG,
    ForgedError,
    Header,
    Parsed,
    check_window,
    find_mail,
    mapping,
    optional_mapping,
    read_json,
    text,
)
from services.ingest.single_use import SingleUse


class Mailgun:
    """Verifies that a request is signed with one of `signing_keys`, Mailgun's webhook signing keys."""

    def __init__(self, signing_keys: Sequence[str]) -> None:
        self._keys = [each.encode() for each in signing_keys]
        self.used: Final = SingleUse()
        """The digest of the event by token."""

    def check_headers(self, header: Header) -> None:
        """Do nothing: the signature is in the body."""

    async def read(self, header: Header, body: bytes, now: datetime) -> Parsed:  # noqa: ARG002
        """Return the bounce or complaint. Raises `ForgedError` or `InvalidEventsError`."""
        payload = mapping(read_json(body))
        signature = mapping(payload.get("signature"))
        timestamp, token = text(signature.get("timestamp")), text(signature.get("token"))
        self._verify(timestamp, token, text(signature.get("signature")))
        check_window(timestamp, now)
        event = mapping(payload.get("event-data"))
        # A signature covers only the token.
        if not self.used.use(token, hashlib.sha256(repr(event).encode(errors="replace")).hexdigest()):
            raise ForgedError
        return _parse(event)

    def _verify(self, timestamp: str, token: str, signature: str) -> None:
        signed, given = (timestamp + token).encode(), signature.encode()
        expected = [hmac.digest(key, signed, hashlib.sha256).hex().encode() for key in self._keys]
        if not token or not sum(hmac.compare_digest(each, given) for each in expected):
            raise ForgedError


def _parse(event: "dict[str, object] | object") -> Parsed:
    data, parsed = optional_mapping(event), Parsed()
    name = data.get("event")
    if name == "failed" and data.get("severity") != "permanent":
        parsed.skip("soft")
        return parsed
    if name not in ("failed", "rejected", "complained"):
        parsed.skip("ignored")
        return parsed
    status = optional_mapping(data.get("delivery-status"))
    answer = text(status.get("message")) or text(status.get("description")) or text(data.get("reason"))
    code, enhanced = status_in(answer)
    reported = status.get("code")
    if isinstance(reported, int) and 400 <= reported < 600:
        code = reported
    enhanced = status_in(text(status.get("enhanced-code")))[1] or enhanced
    headers = optional_mapping(optional_mapping(data.get("message")).get("headers"))
    is_bounce = name != "complained"
    parsed.add(
        "mailgun",
        text(data.get("id")) or f"{headers.get('message-id')} {data.get('timestamp')}",
        data.get("timestamp"),
        find_mail(headers.get("message-id"), optional_mapping(data.get("user-variables")).get(TAG)),
        type="bounced" if is_bounce else "complained",
        # Mailgun does not send to an address that has bounced before.
        hard=is_bounce and (data.get("reason") == "suppress-bounce" or is_hard_bounce(code, enhanced)),
        code=code,
        enhanced=enhanced,
        recipient=data.get("recipient"),
        answer=answer,
    )
    return parsed
