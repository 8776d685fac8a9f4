"""`POST /inbound/forms/{form_key}`: HTML forms, which need neither a secret nor a script."""

from pathlib import Path
from typing import Final, NamedTuple

from starlette.responses import RedirectResponse, Response
from starlette.types import Receive, Scope, Send

from contracts.leads import LeadSubmission, lead_id_for
from contracts.reasons import SpamReason
from runtime.http.problem_details import Problem, ProblemError
from runtime.http.rate_limiter import RateLimiter
from runtime.logs import logger
from runtime.sites.model import NO_SITE, Site
from services.ingest import problems
from services.ingest.forms.body import NO_FORM, FormBody, read_form
from services.ingest.forms.captcha import Captcha
from services.ingest.forms.form_lead import KEY, NEXT, Visit, build_submission, text_of
from services.ingest.forms.lead_key import lead_key
from services.ingest.forms.origin import is_same_host, next_url, page_origin, visitor_address
from services.ingest.forms.pages import (
    accepts_html,
    form_page,
    message_page,
    origin_page,
    translate_errors,
    unknown_form_page,
)
from services.ingest.forms.texts import texts_for
from services.ingest.lead_acceptance import AcceptedLead, LeadAcceptance, RequestContext
from services.ingest.lead_parser import read_fields
from services.ingest.request import LeadRequest
from services.ingest.responses import correlation_id_of, created, report_refusal
from services.ingest.settings import Settings
from services.ingest.site_directory import SiteDirectory

PATH: Final = "/inbound/forms/{form_key}"
PREFIX: Final = "/inbound/forms/"
STATIC: Final = Path(__file__).with_name("static")
"""The scripts that web pages load from the gateway."""


class _Submitted(NamedTuple):
    """One request, with the parts that are known so far. `page` is the origin of the form's page."""

    request: LeadRequest
    scope: Scope
    correlation_id: str
    name: str = ""
    site: Site = NO_SITE
    page: str = ""
    form: FormBody = NO_FORM

    @property
    def accepts_html(self) -> bool:
        """Return True for a browser that shows the response, and False for a script."""
        return accepts_html(self.request.header(b"accept"))

    @property
    def referer(self) -> str | None:
        """The URL of the website's page; None if it is unknown or if the page is the gateway's own."""
        referer = self.request.header(b"referer")
        origin = page_origin(None, referer)
        return None if origin is None or is_same_host(origin, self.request.header(b"host")) else referer


class FormEndpoint:
    """The ASGI app of an HTML form. Each replica enforces the sites' rate limits separately."""

    def __init__(
        self, settings: Settings, sites: SiteDirectory, acceptance: LeadAcceptance, captcha: Captcha
    ) -> None:
        self._sites = sites
        self._captcha = captcha
        self._acceptance = acceptance
        self.site_limiter: Final = RateLimiter(settings.form_leads_per_site_per_hour, 3600)
        self._log = logger("form")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one POST. A browser gets a page or a redirect, and a script gets JSON."""
        request = LeadRequest(scope, receive)
        correlation_id = correlation_id_of(request)
        response = await self._respond(_Submitted(request, scope, correlation_id))
        response.headers["X-Request-ID"] = correlation_id
        if response.status_code == problems.TOO_SLOW.status:
            response.headers["Connection"] = "close"
        await response(scope, receive, send)

    async def _respond(self, submitted: _Submitted) -> Response:
        try:
            submitted = self._find_site(submitted)
            is_allowed = _is_allowed_page(submitted)
            if is_allowed or submitted.accepts_html:  # the page that refuses a form shows what was typed
                submitted = submitted._replace(form=await read_form(submitted.request))
            if not is_allowed:
                raise ProblemError(problems.WRONG_ORIGIN)
            return self._thank(submitted, await self._accept(submitted))
        except ProblemError as rejected:
            problem = rejected.problem
        except Exception:  # noqa: BLE001 - the visitor keeps what was typed, whatever the error
            self._log.exception("request failed", correlation_id=submitted.correlation_id)
            problem = problems.INTERNAL_ERROR
        report_refusal(self._log, problem, submitted.correlation_id, submitted.name)
        return self._refuse(submitted, problem)

    def _find_site(self, submitted: _Submitted) -> _Submitted:
        name = self._sites.find_by_form_key(submitted.scope["path_params"]["form_key"])
        if name is None:
            raise ProblemError(problems.UNKNOWN_FORM)
        page = page_origin(submitted.request.header(b"origin"), submitted.request.header(b"referer"))
        return submitted._replace(name=name, site=self._sites.get(name), page=page or "")

    async def _accept(self, submitted: _Submitted) -> AcceptedLead:
        submission = self._read_submission(submitted)
        if self._acceptance.find_canary(submitted.name, submission):
            return await self._acceptance.accept(submission, None, _context_of(submitted))
        key = self._key_of(submitted, submission)
        reasons = []
        lead_id = lead_id_for(submitted.name, key)
        limits = submitted.site.limits
        if not self.site_limiter.allow(
            submitted.name, self._acceptance.monotonic(), lead_id, limits.form_leads_per_hour
        ):
            reasons.append(SpamReason.RATE_SITE)
        ip = submission.meta and submission.meta.ip
        ip = ip if isinstance(ip, str) else None
        if reason := await self._captcha.check(submitted.name, submitted.form, lead_id, ip):
            reasons.append(reason)
        return await self._acceptance.accept(submission, key, _context_of(submitted), reasons)

    def _read_submission(self, submitted: _Submitted) -> LeadSubmission:
        request = submitted.request
        visit = Visit(
            submitted.referer,
            visitor_address(submitted.scope, request.header(b"x-forwarded-for")),
            request.header(b"user-agent"),
        )
        return read_fields(build_submission(submitted.form, submitted.site, visit))

    def _key_of(self, submitted: _Submitted, submission: LeadSubmission) -> str:
        # A page may send the same key with every form. `lead_key` tells different answers apart all the same.
        client_key = text_of(submitted.form, KEY) or submitted.request.header(b"idempotency-key")
        return lead_key(self._acceptance, submitted.name, submission, client_key)

    def _thank(self, submitted: _Submitted, lead: AcceptedLead) -> Response:
        if not submitted.accepts_html:
            return created(lead, {})
        # Relative to the address of the form, because a proxy may add a path in front of it.
        own_page = f"{submitted.scope['path_params']['form_key']}/thanks"
        return RedirectResponse(_next_page(submitted) or submitted.site.thanks_url or own_page, 303)

    def _refuse(self, submitted: _Submitted, problem: Problem) -> Response:
        if not submitted.accepts_html:
            if problem.errors and submitted.site.locale:
                problem = translate_errors(problem, submitted.site, submitted.form)
            response = problem.response()
            if problem in (problems.UNKNOWN_FORM, problems.WRONG_ORIGIN):
                # Any page may read these: its script would take them for an unavailable gateway.
                response.headers["Access-Control-Allow-Origin"] = "*"
            return response
        if problem == problems.UNKNOWN_FORM:
            return unknown_form_page(submitted.request.header(b"accept-language"))
        site, status = submitted.site, problem.status
        _, texts = texts_for(site.locale)
        if problem.errors or status >= 500:
            wrong = dict.fromkeys(error.field.partition(".")[0] for error in problem.errors or ())
            response = form_page(site, status, _form_to_send_again(submitted), wrong)
        elif problem == problems.WRONG_ORIGIN:
            response = origin_page(site, status, _form_to_send_again(submitted), submitted.page)
        else:
            text = texts.too_large if problem == problems.TOO_LARGE else texts.unreadable
            response = message_page(site, status, text)
        if retry_after := problem.response().headers.get("Retry-After"):
            response.headers["Retry-After"] = retry_after
        return response


def _context_of(submitted: _Submitted) -> RequestContext:
    return RequestContext(
        submitted.name,
        submitted.correlation_id,
        submitted.request.header(b"traceparent"),
        submitted.site.default_service or "",
        submitted.site.limits,
    )


def _is_allowed_page(submitted: _Submitted) -> bool:
    """Return True for a page of the site, and for the gateway's own page, which sends a form again."""
    if submitted.page in submitted.site.origins:
        return True
    return bool(submitted.page) and is_same_host(submitted.page, submitted.request.header(b"host"))


def _next_page(submitted: _Submitted) -> str | None:
    wanted = text_of(submitted.form, NEXT)
    return next_url(wanted, submitted.page, submitted.site.origins)


def _form_to_send_again(submitted: _Submitted) -> FormBody:
    """Return the fields of the form, for the gateway's own page from which the visitor sends them again.

    The URLs of the website's page and of the page after the form are added as fields. They were headers or
    relative to the website's page, which the gateway's page cannot repeat.
    """
    fields = dict(submitted.form.fields)
    if submitted.referer:
        fields.setdefault("page_url", submitted.referer)
    if url := _next_page(submitted):
        fields[NEXT] = url
    return FormBody(fields)
