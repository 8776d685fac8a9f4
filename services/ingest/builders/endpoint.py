"""`POST /inbound/hooks/{hook_key}`: the webhooks of form builders. The key in the URL is a secret."""

from collections.abc import Mapping
from typing import Final

from pydantic import JsonValue
from starlette.responses import Response

from contracts.field_types import LINE_MAX
from contracts.text import to_line, truncate
from contracts.times import utc_text
from runtime.failures import DependencyUnavailable
from runtime.http.problem_details import Problem, ProblemError
from runtime.sites.model import Site
from services.ingest import problems
from services.ingest.authenticated_endpoint import AuditSink, AuthenticatedEndpoint
from services.ingest.builders.adapters import Adapter, adapter_of, read_body, submission_key
from services.ingest.builders.failed_lead import build_failed_record, is_correctable
from services.ingest.builders.payload import nest_brackets, text_at
from services.ingest.builders.signatures import SIGNATURES
from services.ingest.forms.body import TEXT_MAX_BYTES, read_form
from services.ingest.forms.form_lead import campaign_in
from services.ingest.forms.lead_key import lead_key
from services.ingest.lead_acceptance import LeadAcceptance, LeadSink, RequestContext
from services.ingest.lead_parser import read_fields
from services.ingest.request import LeadRequest
from services.ingest.responses import accepted_json, needs_correction_json
from services.ingest.settings import Settings
from services.ingest.site_directory import SiteDirectory

PATH: Final = "/inbound/hooks/{hook_key}"
_FRAMER_ID: Final = b"framer-webhook-submission-id"


class HookEndpoint(AuthenticatedEndpoint):
    """The ASGI app of a webhook. It answers with 200 instead of 201.

    After a 201, Elementor shows its visitors an error, and Wix repeats the request. An invalid lead gets a
    200 too, and becomes a failed delivery. The form builder has already thanked the visitor, so only a user
    of the dashboard can correct the lead (ADR 0045).
    """

    def __init__(
        self,
        settings: Settings,
        sites: SiteDirectory,
        acceptance: LeadAcceptance,
        audit: AuditSink,
        refused: LeadSink,
    ) -> None:
        super().__init__(settings, sites, acceptance, audit)
        self._refused = refused

    def _authenticate(self, request: LeadRequest) -> str:
        site = self._sites.find_by_hook_key(request.path_params["hook_key"])
        if site is None:
            raise ProblemError(problems.UNKNOWN_HOOK)
        return site

    async def _accept(
        self, request: LeadRequest, site: str, correlation_id: str, headers: dict[str, str]
    ) -> Response:
        request.media_type()  # refuses an encoded body
        signed = self._check_signatures(request, site, await request.buffer_body(TEXT_MAX_BYTES))
        payload = nest_brackets((await read_form(request)).fields.items())
        adapter = adapter_of(payload)
        if adapter.name in self._sites.signing_secrets(site).keys() - signed:
            raise ProblemError(problems.WRONG_SIGNATURE)
        config = self._sites.get(site)
        body = _read_body(adapter, payload, config)
        builder_key = submission_key(adapter, payload) or request.header(_FRAMER_ID)
        client_key = builder_key or request.header(b"idempotency-key")
        form_name = truncate(to_line(text_at(payload, *adapter.form_name)), LINE_MAX)
        service = config.default_service or form_name
        context = RequestContext(site, correlation_id, request.header(b"traceparent"), service, config.limits)
        try:
            submission = read_fields(body)
        except ProblemError as refused:
            if not is_correctable(refused.problem, adapter, body):
                raise
            return await self._publish_for_correction(refused.problem, body, client_key, context, headers)
        key = lead_key(self._acceptance, site, submission, client_key)
        lead = await self._acceptance.accept(submission, key, context)
        return Response(accepted_json(lead), media_type="application/json", headers=headers)

    async def _publish_for_correction(
        self,
        problem: Problem,
        body: dict[str, JsonValue],
        client_key: str | None,
        context: RequestContext,
        headers: dict[str, str],
    ) -> Response:
        """Publish an invalid lead to `leads.failed.v1`, and return the response."""
        now = self._acceptance.now()
        lead_id, record = build_failed_record(problem, body, client_key, context, now)
        try:
            await self._refused.publish(record)
        except DependencyUnavailable:
            raise ProblemError(problems.UNAVAILABLE) from None
        self._report_refusal(problem, context.site, context.correlation_id)
        content = needs_correction_json(lead_id, utc_text(now))
        return Response(content, media_type="application/json", headers=headers)

    def _check_signatures(self, request: LeadRequest, site: str, body: bytes) -> set[str]:
        """Return the builders that signed the body. Raises `ProblemError` for a wrong signature."""
        signed = set()
        for builder, secret in self._sites.signing_secrets(site).items():
            signature = SIGNATURES[builder]
            if request.header(signature.header) is None:
                continue
            if not signature.is_valid(secret, request.header, body):
                raise ProblemError(problems.WRONG_SIGNATURE)
            signed.add(builder)
        return signed


def _read_body(adapter: Adapter, payload: Mapping[str, JsonValue], site: Site) -> dict[str, JsonValue]:
    body = read_body(adapter, payload, site.fields)
    if body and (submitted_at := text_at(payload, *adapter.submitted_at)):
        body.setdefault("submitted_at", submitted_at)
    source = body.get("source")
    if isinstance(source, dict):
        body["source"] = campaign_in(source.get("page_url")) | source
    return body
