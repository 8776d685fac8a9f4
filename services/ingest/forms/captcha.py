"""Captchas of HTML forms. A lead whose captcha fails is stored as spam and never refused.

ALTCHA is a proof of work that the gateway checks itself. The gateway asks the provider to check the other
kinds.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, Final
from uuid import UUID

import altcha
import httpx

from contracts.reasons import SpamReason
from runtime.logs import logger
from services.ingest.forms.body import FormBody
from services.ingest.forms.form_lead import CAPTCHA_FIELDS
from services.ingest.single_use import SingleUse
from services.ingest.site_directory import SiteDirectory

VERIFY_URLS = {
    "turnstile": "https://challenges.cloudflare.com/turnstile/v0/siteverify",
    "hcaptcha": "https://api.hcaptcha.com/siteverify",
    "recaptcha": "https://www.google.com/recaptcha/api/siteverify",
}
VERIFY_SECONDS: Final = 3.0
# Time to fill in the form; a widget fetches another challenge when its own expires.
CHALLENGE_SECONDS: Final = 1200
# A browser needs about a second for 256 tries, and one check takes the gateway a few milliseconds.
_ALGORITHM, _COST = "PBKDF2/SHA-256", 5_000
# No answer of a widget is longer.
_MAX_LENGTH: Final = 8192


class Captcha:
    """Issues ALTCHA challenges and checks the captchas of forms.

    A solved captcha is valid for one lead. Each replica keeps its own list of used captchas. The length of
    the list is limited.
    """

    def __init__(self, sites: SiteDirectory, client: httpx.AsyncClient) -> None:
        self._sites = sites
        self._client = client
        self.used: Final = SingleUse()
        """The lead by the digest of the captcha's answer."""
        self._verifying: dict[tuple[str, UUID], asyncio.Future[bool]] = {}
        self._log = logger("captcha")

    def create_challenge(self, site: str) -> dict[str, Any]:
        """Return a challenge for the ALTCHA widget of a site's form."""
        expires_at = datetime.now(UTC) + timedelta(seconds=CHALLENGE_SECONDS)
        challenge = altcha.create_challenge(
            _ALGORITHM, _COST, expires_at=expires_at, data={"site": site}, hmac_secret=self._signing_key(site)
        )
        return dict(challenge.to_dict())

    def _signing_key(self, site: str) -> bytes:
        return sha256(b"fastcore captcha\n" + self._sites.captcha_secret(site).encode()).digest()

    async def check(self, site: str, form: FormBody, lead_id: UUID, ip: str | None) -> SpamReason | None:
        """Return why the lead is spam, or None if its captcha is solved or the site has no captcha."""
        captcha = self._sites.get(site).captcha
        if captcha is None:
            return None
        answer = form.fields.get(CAPTCHA_FIELDS[captcha.kind])
        if not isinstance(answer, str) or not answer or len(answer) > _MAX_LENGTH:
            return SpamReason.CAPTCHA_MISSING
        if captcha.kind == "altcha":
            return self._check_solution(site, answer, lead_id)
        digest = _digest(answer)
        if self.used.user(digest) == str(lead_id):  # the provider accepts an answer once
            return None
        request = (digest, lead_id)
        if request not in self._verifying:  # a double click shares the verification of the first click
            work = asyncio.ensure_future(self._is_verified(site, captcha.kind, answer, ip))
            work.add_done_callback(lambda _: self._verifying.pop(request, None))
            self._verifying[request] = work
        try:
            verified = await asyncio.shield(self._verifying[request])
        except (httpx.HTTPError, TimeoutError, ValueError) as error:
            self._log.warning("captcha not verified", site=site, reason=type(error).__name__)
            return SpamReason.CAPTCHA_UNVERIFIED
        return None if verified and self.used.use(digest, str(lead_id)) else SpamReason.CAPTCHA_FAILED

    def _check_solution(self, site: str, answer: str, lead_id: UUID) -> SpamReason | None:
        try:
            payload = altcha.Payload.from_base64(answer)
            solved = altcha.verify_solution(payload, self._signing_key(site)).verified
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
            return SpamReason.CAPTCHA_FAILED
        challenge = payload.challenge
        if not solved or challenge.parameters.data != {"site": site}:
            return SpamReason.CAPTCHA_FAILED
        # The signature names the challenge; the answer around it can be written in many ways.
        is_unused = self.used.use(_digest(challenge.signature or ""), str(lead_id))
        return None if is_unused else SpamReason.CAPTCHA_FAILED

    async def _is_verified(self, site: str, kind: str, answer: str, ip: str | None) -> bool:
        """Return True if the captcha's provider confirms the answer.

        Raises `ValueError` if the provider's response contains no verdict. Raises `httpx.HTTPError` or
        `TimeoutError` if there is no response.
        """
        values = {"secret": self._sites.captcha_secret(site), "response": answer}
        if ip:
            values["remoteip"] = ip
        response = await self._client.post(VERIFY_URLS[kind], data=values, timeout=VERIFY_SECONDS)
        verdict = response.raise_for_status().json()
        success = verdict.get("success") if isinstance(verdict, dict) else None
        if success is None:
            raise ValueError("the provider's response has no verdict")
        return success is True


def _digest(answer: str) -> str:
    return sha256(answer.encode(errors="replace")).hexdigest()
