"""Signs requests as the mail providers do, with keys that the tests make. The payloads are invented."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import NameOID

FOLDER = Path(__file__).with_name("provider_events")
LEAD_ID = UUID("019b0c5e-9d3a-7c41-8f0e-2a6b4c8d0e1f")
NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
TOPIC = "arn:aws:sns:eu-central-1:123456789012:bounces"
HOST = "https://sns.eu-central-1.amazonaws.com"
CERTIFICATE_URL = f"{HOST}/SimpleNotificationService-0123456789abcdef0123456789abcdef.pem"
MAILGUN_KEY = "key-of-the-webhooks-of-mailgun"


def payload(name: str) -> bytes:
    """Return a payload in the provider's format."""
    return (FOLDER / f"{name}.json").read_bytes()


class SendGridSigner:
    """Signs like SendGrid: ECDSA over the time and the body."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        der = self._key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self.public_key = base64.b64encode(der).decode()

    def headers(self, body: bytes, at: datetime = NOW) -> dict[str, str]:
        timestamp = str(int(at.timestamp()))
        signature = self._key.sign(timestamp.encode() + body, ec.ECDSA(hashes.SHA256()))
        return {
            "X-Twilio-Email-Event-Webhook-Signature": base64.b64encode(signature).decode(),
            "X-Twilio-Email-Event-Webhook-Timestamp": timestamp,
        }


class SnsSigner:
    """Signs like Amazon SNS, and serves its certificate. `requests` are the URLs that were requested."""

    def __init__(self, valid_for: timedelta = timedelta(days=3650)) -> None:
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
        begins = datetime(2020, 1, 1, tzinfo=UTC)
        self._certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self._key.public_key())
            .serial_number(1)
            .not_valid_before(begins)
            .not_valid_after(begins + valid_for)
            .sign(self._key, hashes.SHA256())
        )
        self.requests: list[str] = []
        self.answer: httpx.Response | None = None

    def client(self) -> httpx.AsyncClient:
        """Return a client whose every request the signer answers."""
        return httpx.AsyncClient(transport=httpx.MockTransport(self._answer))

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(str(request.url))
        if self.answer:
            return self.answer
        return httpx.Response(200, content=self._certificate.public_bytes(serialization.Encoding.PEM))

    def notification(
        self, message: bytes | str, version: str = "2", topic: str = TOPIC, **changes: Any
    ) -> dict[str, Any]:
        """Return a signed notification. `changes` are made after it was signed."""
        fields = {
            "Type": "Notification",
            "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
            "TopicArn": topic,
            "Subject": "Amazon SES Email Event Notification",
            "Message": message.decode() if isinstance(message, bytes) else message,
            "Timestamp": "2026-11-30T10:30:46.000Z",
        }
        order = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")
        return self._signed(fields, order, version) | changes

    def subscription(
        self, url: str | None = None, kind: str = "SubscriptionConfirmation", version: str = "1"
    ) -> dict[str, Any]:
        """Return the signed request to confirm a subscription, or the notice of its end."""
        query = f"Action=ConfirmSubscription&TopicArn={TOPIC}&Token=2336412f37"
        fields = {
            "Type": kind,
            "MessageId": "165545c9-2a5c-472c-8df2-7ff2be2b3b1b",
            "Token": "2336412f37",
            "TopicArn": TOPIC,
            "Message": "You have chosen to subscribe to the topic.",
            "SubscribeURL": url or f"{HOST}/?{query}",
            "Timestamp": "2026-11-30T10:00:00.000Z",
        }
        order = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
        return self._signed(fields, order, version)

    def _signed(self, fields: dict[str, str], order: tuple[str, ...], version: str) -> dict[str, Any]:
        signed = "".join(f"{name}\n{fields[name]}\n" for name in order).encode()
        algorithm = hashes.SHA1() if version == "1" else hashes.SHA256()  # noqa: S303 - as Amazon does
        signature = self._key.sign(signed, padding.PKCS1v15(), algorithm)
        return {
            **fields,
            "SignatureVersion": version,
            "Signature": base64.b64encode(signature).decode(),
            "SigningCertURL": CERTIFICATE_URL,
        }


def mailgun_body(event: bytes, token: str = "t" * 50, at: datetime = NOW, key: str = MAILGUN_KEY) -> bytes:
    """Return an event with the signature of Mailgun."""
    timestamp = str(int(at.timestamp()))
    signature = hmac.digest(key.encode(), (timestamp + token).encode(), hashlib.sha256).hex()
    signed = {"timestamp": timestamp, "token": token, "signature": signature}
    return json.dumps({"signature": signed, "event-data": json.loads(event)}).encode()


def header_of(headers: dict[str, str]) -> Any:
    """Return the function by which an adapter reads the headers of a request."""
    lower = {name.lower().encode(): value for name, value in headers.items()}
    return lower.get
