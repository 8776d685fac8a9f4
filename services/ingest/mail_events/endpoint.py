"""`POST /inbound/mail-events/{provider}`: authenticates events of a mail provider, and publishes them."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

import httpx
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from runtime import metrics
from runtime.failures import DependencyUnavailable
from runtime.http.problem_details import ProblemError
from runtime.kafka.mail_event_publisher import MailEventPublisher
from runtime.logs import logger
from services.ingest import problems
from services.ingest.mail_events.mailgun import Mailgun
from services.ingest.mail_events.postmark import Postmark
from services.ingest.mail_events.provider import (
    ForgedError,
    InvalidEventsError,
    Parsed,
    Provider,
    ProviderUnavailable,
)
from services.ingest.mail_events.sendgrid import SendGrid
from services.ingest.mail_events.ses import Ses
from services.ingest.mail_events.sns_certificates import SnsCertificates
from services.ingest.request import LeadRequest
from services.ingest.responses import correlation_id_of, report_refusal
from services.ingest.settings import MailProviders

PREFIX: Final = "/inbound/mail-events/"
PATH: Final = PREFIX + "{provider}"
NAMES: Final = ("sendgrid", "ses", "postmark", "mailgun")
# SendGrid collects events up to 768 KB. A report of Postmark may have the original email.
BODY_MAX_BYTES: Final = 1024 * 1024


def configured_providers(settings: MailProviders, client: httpx.AsyncClient) -> dict[str, Provider]:
    """Return the providers that have a secret or a topic in the settings, by name."""
    providers: dict[str, Provider] = {}
    if settings.sendgrid_public_keys:
        providers["sendgrid"] = SendGrid(settings.sendgrid_public_keys)
    if settings.ses_topic_arns:
        providers["ses"] = Ses(settings.ses_topic_arns, SnsCertificates(client))
    if settings.postmark_secrets:
        providers["postmark"] = Postmark(settings.postmark_secrets)
    if settings.mailgun_signing_keys:
        providers["mailgun"] = Mailgun(settings.mailgun_signing_keys)
    return providers


class MailEventEndpoint:
    """The ASGI app of the route. It answers 200 only after Kafka has all events of the request.

    A provider repeats a request that gets a 503. Repeated events change nothing, because their ids are the
    same.
    """

    def __init__(self, providers: Mapping[str, Provider], publisher: MailEventPublisher) -> None:
        self._providers = providers
        self._publisher = publisher
        self._log = logger("mail_events")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = LeadRequest(scope, receive)
        correlation_id = correlation_id_of(request)
        response = await self._respond(request, correlation_id)
        await response(scope, receive, send)

    async def _respond(self, request: LeadRequest, correlation_id: str) -> ASGIApp:
        name = request.path_params["provider"]
        headers = {"X-Request-ID": correlation_id}
        try:
            parsed = await self._receive(name, request)
        except ProblemError as refused:
            problem = refused.problem
        except Exception:  # noqa: BLE001 - the provider gets a usable response, whatever the error
            self._log.exception("request failed", correlation_id=correlation_id)
            problem = problems.INTERNAL_ERROR
        else:
            self._log.info(
                "mail events published",
                correlation_id=correlation_id,
                provider=name,
                published=len(parsed.events),
                **parsed.results,
            )
            return Response(status_code=200, headers=headers)
        report_refusal(self._log, problem, correlation_id, None)
        if problem.status == problems.TOO_SLOW.status:
            headers["Connection"] = "close"
        return problem.response(headers)

    async def _receive(self, name: str, request: LeadRequest) -> Parsed:
        """Authenticate a request and publish its events. Raises `ProblemError`."""
        provider = self._providers.get(name)
        if provider is None:
            raise ProblemError(problems.UNKNOWN_PROVIDER)
        request.media_type()  # refuses an encoded body
        count = metrics.MAIL_EVENTS_RECEIVED
        try:
            provider.check_headers(request.header)
            body = await request.buffer_body(BODY_MAX_BYTES)
            parsed = await provider.read(request.header, body, datetime.now(UTC))
        except ForgedError:
            count.labels(provider=name, result="forged").inc()
            raise ProblemError(problems.FORGED_EVENTS) from None
        except InvalidEventsError:
            count.labels(provider=name, result="invalid").inc()
            raise ProblemError(problems.INVALID_EVENTS) from None
        except ProviderUnavailable:
            raise ProblemError(problems.EVENTS_UNAVAILABLE) from None
        try:
            await self._publisher.publish(parsed.events)
        except DependencyUnavailable:
            raise ProblemError(problems.EVENTS_UNAVAILABLE) from None
        count.labels(provider=name, result="published").inc(len(parsed.events))
        for result, events in parsed.results.items():
            count.labels(provider=name, result=result).inc(events)
        return parsed
