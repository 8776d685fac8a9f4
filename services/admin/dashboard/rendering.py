"""Renders pages: templates, security headers, redirects, and errors as pages."""

import hashlib
import re
from collections.abc import Callable, Coroutine
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.routing import APIRoute
from fastapi.staticfiles import StaticFiles
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.exceptions import HTTPException
from starlette.types import Scope

from runtime.failures import DependencyUnavailable, RetryableError
from runtime.logs import logger
from services.admin import texts
from services.admin.auth.session import Session
from services.admin.dashboard import canary_labels, error_texts, formatting, labels
from services.admin.dashboard.auth import CsrfError, LoginRequired
from services.admin.rules.errors import ConflictError, ForbiddenError, NotFoundError
from services.admin.texts import gettext

STATIC: Final = Path(__file__).with_name("static")
LOGIN: Final = "/admin/login"
_VERSION: Final = re.compile(r"-\d+\.\d+\.\d+[-.]")
LIST_FORM: Final = "search"  # the id of the form that filters a list
HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; "
        "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Vary": "Accept-Language",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

_TEMPLATES: Final = Environment(
    loader=PackageLoader("services.admin.dashboard"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    extensions=["jinja2.ext.i18n"],
)
# `trans` blocks pass their values to these functions.
_TEMPLATES.newstyle_gettext = True  # type: ignore[attr-defined]
_TEMPLATES.globals |= {
    "_": texts.gettext_html,
    "gettext": texts.gettext_html,
    "ngettext": texts.ngettext_html,
    "plural_forms": texts.plural_forms,
}
_TEMPLATES.filters |= formatting.FILTERS | labels.FILTERS | canary_labels.FILTERS
_TEMPLATES.globals |= labels.GLOBALS


@cache
def _static_url(name: str) -> str:
    digest = hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]
    return f"/admin/static/{name}?v={digest}"


_TEMPLATES.globals["static_url"] = _static_url


class VersionedStaticFiles(StaticFiles):
    """Static files. Browsers cache a file for a year if its URL contains a version.

    The version is in the URL's query. The files in `vendor` have it in their names, because a style sheet
    refers to some of them and cannot add a query.
    """

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        """Return the file with its cache headers."""
        response = super().file_response(*args, **kwargs)
        scope: Scope = args[2] if len(args) > 2 else kwargs["scope"]
        is_versioned = scope["query_string"] or _VERSION.search(scope["path"])
        cache_control = "public, max-age=31536000, immutable" if is_versioned else "no-cache"
        response.headers.update({"Cache-Control": cache_control, "X-Content-Type-Options": "nosniff"})
        return response


def render(
    request: Request, session: Session | None, template: str, /, status: int = 200, **values: Any
) -> HTMLResponse:
    """Render a page or a fragment from `values` and from the values that every template gets.

    Every template gets `session`, `path`, `is_htmx`, `site_name` and `language`. From the headline, it gets
    the number of `disruptions`, and `headline_style`.
    """
    html = _TEMPLATES.get_template(template).render(
        values,
        session=session,
        path=request.url.path,
        is_htmx=is_htmx(request),
        disruptions=len(request.app.state.headline.disruptions),
        headline_style=request.app.state.headline.style,
        site_name=request.app.state.sites.display_name,
        language=texts.current_viewer().language,
    )
    return HTMLResponse(html, status)


def render_toast(request: Request, session: Session, message: str) -> Response:
    """Render a success message, and make the page reload its regions (see `trigger_refresh`)."""
    return trigger_refresh(render(request, session, "_toast.html", message=message, style="good"))


def is_htmx(request: Request) -> bool:
    """Return True if htmx sent the request, and False if the browser sent it without a script."""
    return request.headers.get("hx-request") == "true"


def redirect(request: Request, url: str) -> Response:
    """Return a redirect of the whole page: the header `HX-Redirect` for htmx, a 303 for other requests."""
    if is_htmx(request):
        return Response(status_code=204, headers={"HX-Redirect": url})
    return RedirectResponse(url, 303)


def trigger_refresh(response: Response) -> Response:
    """Add the header that makes the page reload all regions that listen to the event `refresh`."""
    response.headers["HX-Trigger"] = "refresh"
    return response


class PageRoute(APIRoute):
    """The route of a page. Errors are rendered as pages too, and every response gets the security headers.

    A page that needs other values for some of these headers sets `request.state.page_headers`.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the route's handler, wrapped so that it renders errors and adds the headers."""
        handle = super().get_route_handler()

        async def respond(request: Request) -> Response:
            language = request.headers.get("accept-language", "")[: texts.HEADER_MAX]
            with texts.viewed_by(texts.find_viewer(language)):
                try:
                    response = await handle(request)
                except LoginRequired:
                    response = _login_redirect(request)
                except Exception as error:  # noqa: BLE001 - a person reads the response, so it is always a page
                    response = error_page(request, error)
            response = _without_repetition(request, response)
            response.headers.update(HEADERS | getattr(request.state, "page_headers", {}))
            return response

        return respond


def _without_repetition(request: Request, response: Response) -> Response:
    """Add a strong ETag to a response to htmx. Omit the body if the page already shows this content.

    A poll sends the ETag of the shown content in `If-None-Match`. If the content is the same, GET is answered
    with 304. POST is answered with 204, because 304 is only for GET (RFC 9110, 15.4.5). The list of leads is
    polled with POST, because no URL may contain a search.
    """
    if not is_htmx(request) or not isinstance(response, HTMLResponse) or response.status_code != 200:
        return response
    etag = f'"{hashlib.sha256(response.body).hexdigest()[:32]}"'
    # A proxy that compresses may have made the ETag weak.
    if request.headers.get("if-none-match", "").removeprefix("W/") == etag:
        response = Response(status_code=304 if request.method == "GET" else 204)
    response.headers["ETag"] = etag
    return response


def _login_redirect(request: Request) -> Response:
    # The login leads back to the current page. For a fragment or an action, that is the page that htmx names.
    if is_htmx(request):
        current_url = request.headers.get("hx-current-url", "").partition("#")[0]
        _, slash, path = current_url.partition("//")[2].partition("/")
        return Response(status_code=401, headers={"HX-Redirect": _login_url(slash + path)})
    query = [(name, value) for name, value in request.query_params.multi_items() if name != "again"]
    path = request.url.path + (f"?{urlencode(query)}" if query else "")
    url = _login_url(path if request.method == "GET" else "")
    cross_site = request.headers.get("sec-fetch-site") == "cross-site"
    if cross_site and request.method == "GET" and "again" not in request.query_params:
        # For a link in an email, the browser withholds a SameSite=Strict cookie. It sends the cookie when
        # one of our own pages repeats the request.
        again = f"{request.url.path}?{urlencode([*query, ('again', '1')])}"
        return render(request, None, "samesite_refresh.html", url=again)
    return RedirectResponse(url, 303)


def _login_url(next_path: str) -> str:
    return f"{LOGIN}?next={quote(next_path)}" if next_path else LOGIN


def error_page(request: Request, error: Exception) -> Response:
    """Render an error as a page, or as a toast if htmx sent the request.

    The error of a search replaces the list. If the old list stayed, it would look like the result of the
    search.
    """
    status, message, headers = _error_details(error)
    if status == 500:
        logger("page").error("unexpected error", exc_info=error)
    if is_htmx(request):
        is_list_form = request.headers.get("hx-trigger") == LIST_FORM
        target, template = ("#list", "_list_error.html") if is_list_form else ("#toasts", "_toast.html")
        headers |= {"HX-Retarget": target, "HX-Reswap": "innerHTML", "HX-Reselect": "unset"}
        response = render(request, None, template, status, message=message, style="bad")
    else:
        response = render(
            request,
            getattr(request.state, "session", None),
            "error.html",
            status,
            title=error_texts.error_title(status),
            message=message,
            next_step=error_texts.next_step(status),
            can_retry=status in (429, 500, 503),
        )
    response.headers.update(headers)
    return response


def _error_details(error: Exception) -> tuple[int, str, dict[str, str]]:
    """Return the HTTP status, the message and the headers for an error."""
    status, headers = 500, dict[str, str]()
    message = gettext("FASTCore could not complete the request. The error was logged. Nothing was changed.")
    match error:
        case ForbiddenError():
            status, message = 403, str(error)
        case NotFoundError():
            status, message = 404, str(error)
        case ConflictError():
            status, message = 409, str(error)
        case CsrfError():
            status = 403
            message = gettext(
                "The form has expired, or was not sent from this dashboard. Nothing was changed."
            )
        case DependencyUnavailable():
            status, headers = 503, {"Retry-After": "5"}
            message = error_texts.outage_message(error.dependency)
        case RetryableError():
            reason = labels.reason_text(error.reason)
            status, message = 422, gettext("%(reason)s. Nothing was changed.", reason=reason)
        case RequestValidationError():
            problems = error_texts.validation_message(error)
            status, message = 422, gettext("%(problems)s Nothing was changed.", problems=problems)
        case HTTPException():
            status, headers = error.status_code, dict(error.headers or {})
            message = error_texts.http_message(status)
    return status, message, headers
