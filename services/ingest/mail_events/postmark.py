"""Postmark's webhooks for bounces and spam complaints. Postmark signs nothing: it sends a secret.

Source: Postmark, "Bounce webhook", "Spam complaint webhook" and "Bounce API: bounce types".
"""

import base64
import binascii
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from contracts.mail_events import is_hard_bounce, status_in
from runtime.http.tokens import BearerTokens
from services.ingest.mail_events.provider import (
    TAG,
    ForgedError,
    Header,
    Parsed,
    find_mail,
    mapping,
    optional_mapping,
    read_json,
    text,
)

# The address does not exist.
_HARD: Final = frozenset({"HardBounce", "BadEmailAddress"})
# Postmark gave up or did not try, for a reason other than the address.
_REFUSED: Final = frozenset({"Blocked", "DMARCPolicy", "DnsError", "ManuallyDeactivated", "SMTPApiError"})
_SOFT: Final = frozenset({"SoftBounce", "Transient"})
# The headers of the original email are near the end of a report.
_CONTENT_MAX: Final = 256 * 1024


class Postmark:
    """Accepts requests with one of these secrets: a password of basic authentication, or a bearer token."""

    def __init__(self, secrets: Sequence[str]) -> None:
        self._secrets = BearerTokens(dict.fromkeys(secrets, "postmark"))

    def check_headers(self, header: Header) -> None:
        """Raise `ForgedError` if the secret is missing or wrong."""
        authorization = header(b"authorization")
        if self._secrets.find_by_header(authorization):
            return
        scheme, _, encoded = (authorization or "").partition(" ")
        try:
            _, _, password = base64.b64decode(encoded, validate=True).partition(b":")
        except (ValueError, binascii.Error):
            raise ForgedError from None
        if scheme.lower() != "basic" or not self._secrets.find(password):
            raise ForgedError

    async def read(self, header: Header, body: bytes, now: datetime) -> Parsed:  # noqa: ARG002 - nothing is signed
        """Return the bounce or complaint. Raises `ForgedError` or `InvalidEventsError`."""
        self.check_headers(header)
        event, parsed = mapping(read_json(body)), Parsed()
        kind = text(event.get("Type"))
        if event.get("RecordType") not in ("Bounce", "SpamComplaint") or kind in _SOFT:
            parsed.skip("soft" if kind in _SOFT else "ignored")
            return parsed
        is_complaint = kind == "SpamComplaint" or event.get("RecordType") == "SpamComplaint"
        answer = text(event.get("Details")) or text(event.get("Description"))
        code, enhanced = status_in(answer)
        if not is_complaint and kind not in _HARD | _REFUSED:
            parsed.skip("ignored")
            return parsed
        hard = kind == "BadEmailAddress" or (
            kind == "HardBounce" and (enhanced is None or is_hard_bounce(code, enhanced))
        )
        parsed.add(
            "postmark",
            f"{event.get('ID')}",
            event.get("BouncedAt"),
            # `MessageID` is Postmark's own. The metadata has our tag. An included report has our Message-ID.
            find_mail(
                optional_mapping(event.get("Metadata")).get(TAG), text(event.get("Content"))[-_CONTENT_MAX:]
            ),
            type="complained" if is_complaint else "bounced",
            hard=hard and not is_complaint,
            code=code,
            enhanced=enhanced,
            recipient=event.get("Email"),
            answer=answer,
        )
        return parsed
