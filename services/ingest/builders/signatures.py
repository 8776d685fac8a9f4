"""Checks the signatures of the form builders that sign their webhooks. Each signature is an HMAC-SHA256.

Sources: Typeform, "Secure your webhooks"; Webflow, "Validating webhook requests"; Tally, "Webhooks: signing
secret"; Framer, "Form webhooks".
"""

import base64
import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

Header = Callable[[bytes], str | None]


@dataclass(frozen=True)
class Signature:
    """The header in which a form builder sends its signature, and the text that is signed.

    The signed text consists of the result of `before`, the body, and the result of `after`. Both functions
    can read the other headers of the request. `encode` turns the HMAC into the value of the signature's
    header.
    """

    header: bytes
    encode: Callable[[bytes], str]
    before: Callable[[Header], str] = lambda _: ""
    after: Callable[[Header], str] = lambda _: ""

    def is_valid(self, secret: str, header: Header, body: bytes) -> bool:
        """Return True if the body was signed with the secret. The comparison takes constant time.

        `header` returns the value of one of the request's headers.
        """
        signed = self.before(header).encode() + body + self.after(header).encode()
        expected = self.encode(hmac.digest(secret.encode(), signed, hashlib.sha256))
        return hmac.compare_digest(expected.encode(), (header(self.header) or "").encode())


def _base64(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


SIGNATURES: Final = {
    "typeform": Signature(b"typeform-signature", lambda digest: f"sha256={_base64(digest)}"),
    "tally": Signature(b"tally-signature", _base64),
    "webflow": Signature(
        b"x-webflow-signature",
        bytes.hex,
        before=lambda header: f"{header(b'x-webflow-timestamp') or ''}:",
    ),
    "framer": Signature(
        b"framer-signature",
        lambda digest: f"sha256={digest.hex()}",
        after=lambda header: header(b"framer-webhook-submission-id") or "",
    ),
}
"""The signature of each form builder that signs."""
