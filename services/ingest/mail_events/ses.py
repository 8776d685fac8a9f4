"""Amazon SES over Amazon SNS: signed notifications, and the confirmation of the subscription.

Source: Amazon SES, "Amazon SNS notification contents" and "event publishing"; Amazon SNS, "Verifying the
signatures of Amazon SNS messages".
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15

from contracts.mail_events import is_hard_bounce, status_in
from runtime.logs import logger
from services.ingest.mail_events.provider import (
    ForgedError,
    Header,
    InvalidEventsError,
    Parsed,
    find_mail,
    mapping,
    optional_mapping,
    read_json,
    text,
)
from services.ingest.mail_events.sns_certificates import SnsCertificates, sns_host

_NOTIFICATION: Final = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")
_SUBSCRIPTION: Final = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
_SIGNED: Final = {
    "Notification": _NOTIFICATION,
    "SubscriptionConfirmation": _SUBSCRIPTION,
    "UnsubscribeConfirmation": _SUBSCRIPTION,
}
# Version 1 is SHA-1. Amazon SNS still uses it by default.
_HASHES: Final = {"1": hashes.SHA1, "2": hashes.SHA256}
_NO_ADDRESS: Final = frozenset({"NoEmail", "Suppressed", "OnAccountSuppressionList"})


class Ses:
    """Accepts messages of the configured SNS topics only: anybody can make SNS sign messages of a topic."""

    def __init__(self, topic_arns: Sequence[str], certificates: SnsCertificates) -> None:
        self._topics = frozenset(topic_arns)
        self._certificates = certificates
        self._log = logger("mail_events")

    def check_headers(self, header: Header) -> None:
        """Raise `ForgedError` if the headers name a topic that is not in the settings."""
        topic = header(b"x-amz-sns-topic-arn")
        if topic is not None and topic not in self._topics:
            raise ForgedError

    async def read(self, header: Header, body: bytes, now: datetime) -> Parsed:  # noqa: ARG002
        """Return the bounces and complaints; confirm a subscription.

        Raises `ForgedError`, `InvalidEventsError` or `ProviderUnavailable`.
        """
        message = mapping(read_json(body))
        topic, kind = text(message.get("TopicArn")), text(message.get("Type"))
        if topic not in self._topics or kind not in _SIGNED:
            raise ForgedError
        await self._verify(message, kind, sns_host(topic))
        if kind == "SubscriptionConfirmation":
            await self._certificates.confirm(text(message.get("SubscribeURL")), sns_host(topic), topic)
            self._log.info("subscription to Amazon SNS confirmed")
        elif kind == "UnsubscribeConfirmation":
            self._log.warning("subscription to Amazon SNS ended: bounces are no longer reported")
        else:
            return _parse(text(message.get("Message")))
        parsed = Parsed()
        parsed.skip("ignored")
        return parsed

    async def _verify(self, message: Mapping[str, Any], kind: str, host: str) -> None:
        version = _HASHES.get(text(message.get("SignatureVersion")))
        if version is None:
            raise ForgedError
        try:
            signature = base64.b64decode(text(message.get("Signature")), validate=True)
        except (ValueError, binascii.Error):
            raise ForgedError from None
        signed = "".join(
            f"{name}\n{text(message[name])}\n" for name in _SIGNED[kind] if message.get(name) is not None
        )
        key = await self._certificates.public_key(text(message.get("SigningCertURL")), host)
        try:
            key.verify(signature, signed.encode(), PKCS1v15(), version())
        except InvalidSignature:
            raise ForgedError from None


def _parse(message: str) -> Parsed:
    parsed = Parsed()
    try:
        content = mapping(read_json(message))
    except InvalidEventsError:  # SES tests a topic with a text that is no JSON
        parsed.skip("ignored")
        return parsed
    kind = content.get("notificationType") or content.get("eventType")
    mail = _mail_of(optional_mapping(content.get("mail")))
    if kind == "Bounce":
        _add_bounces(parsed, mapping(content.get("bounce")), mail)
    elif kind == "Complaint":
        _add_complaints(parsed, mapping(content.get("complaint")), mail)
    else:
        parsed.skip("soft" if kind == "DeliveryDelay" else "ignored")
    return parsed


def _mail_of(mail: Mapping[str, Any]) -> Any:
    """Return the email that the original headers name. SES sends emails with a Message-ID of its own."""
    headers = mail.get("headers")
    ids = [
        each.get("value")
        for each in (headers if isinstance(headers, list) else ())
        if isinstance(each, dict) and text(each.get("name")).lower() == "message-id"
    ]
    return find_mail(optional_mapping(mail.get("commonHeaders")).get("messageId"), *ids)


def _recipients(value: object) -> list[Mapping[str, Any]]:
    if not isinstance(value, list):
        raise InvalidEventsError
    return [mapping(each) for each in value]


def _add_bounces(parsed: Parsed, bounce: Mapping[str, Any], mail: Any) -> None:
    subtype = text(bounce.get("bounceSubType"))
    for each in _recipients(bounce.get("bouncedRecipients")):
        if bounce.get("bounceType") != "Permanent":  # also automatic replies
            parsed.skip("soft")
            continue
        answer = text(each.get("diagnosticCode"))
        code, enhanced = status_in(answer)
        enhanced = status_in(text(each.get("status")))[1] or enhanced
        is_address = subtype in _NO_ADDRESS or (subtype == "General" and enhanced is None)
        parsed.add(
            "ses",
            text(bounce.get("feedbackId")),
            bounce.get("timestamp"),
            mail,
            type="bounced",
            hard=is_address or is_hard_bounce(code, enhanced),
            code=code,
            enhanced=enhanced,
            recipient=each.get("emailAddress"),
            answer=answer,
        )


def _add_complaints(parsed: Parsed, complaint: Mapping[str, Any], mail: Any) -> None:
    for each in _recipients(complaint.get("complainedRecipients")):
        if complaint.get("complaintFeedbackType") == "not-spam":
            parsed.skip("ignored")
            continue
        parsed.add(
            "ses",
            text(complaint.get("feedbackId")),
            complaint.get("arrivalDate") or complaint.get("timestamp"),
            mail,
            type="complained",
            recipient=each.get("emailAddress"),
        )
