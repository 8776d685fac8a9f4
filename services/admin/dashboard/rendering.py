"""How a page is written: templates, the headers that every page has, and errors as pages for people."""

import hashlib
from collections.abc import Callable, Coroutine
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

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
from services.admin.auth.session import Session
from services.admin.dashboard import formatting
from services.admin.dashboard.auth import Forged, SignInFirst
from services.admin.rules.lead_rules import Refused, Unknown

STATIC: Final = Path(__file__).with_name("static")
LOGIN: Final = "/admin/login"
HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; "
        "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
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
)
_TEMPLATES.filters |= formatting.FILTERS
_TEMPLATES.globals |= formatting.GLOBALS


@cache
def _static_url(name: str) -> str:
    digest = hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]
    return f"/admin/static/{name}?v={digest}"


_TEMPLATES.globals["static"] = _static_url


class Static(StaticFiles):
    """Files that browsers keep: a changed one has another address."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        """Answer a file, to be kept where its version is named."""
        answer = super().file_response(*args, **kwargs)
        scope: Scope = args[2] if len(args) > 2 else kwargs["scope"]
        kept = "public, max-age=31536000, immutable" if scope["query_string"] else "no-cache"
        answer.headers.update({"Cache-Control": kept, "X-Content-Type-Options": "nosniff"})
        return answer


def render(
    request: Request, visitor: Session | None, template: str, /, status: int = 200, **values: Any
) -> HTMLResponse:
    """Write a page or a part of one. `in_part` tells a template that htmx asks for a part."""
    text = _TEMPLATES.get_template(template).render(
        values, visitor=visitor, path=request.url.path, in_part=in_part(request)
    )
    return HTMLResponse(text, status)


def in_part(request: Request) -> bool:
    """Return whether htmx asks, and not the browser itself."""
    return request.headers.get("hx-request") == "true"


def go_to(request: Request, url: str) -> Response:
    """Send the browser to another page, also when htmx asked."""
    if in_part(request):
        return Response(status_code=204, headers={"HX-Redirect": url})
    return RedirectResponse(url, 303)


def as_changed(answer: Response) -> Response:
    """Have the regions that show what was changed ask anew at once."""
    answer.headers["HX-Trigger"] = "changed"
    return answer


class PageRoute(APIRoute):
    """A route whose answers, errors too, are pages with the headers of one."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap the handler, its dependencies included."""
        handle = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                response = await handle(request)
            except SignInFirst:
                response = _to_the_door(request)
            except Exception as error:  # noqa: BLE001 - a person reads the answer: it is always a page
                response = _sorry(request, error)
            response.headers.update(HEADERS)
            return response

        return answer


def _to_the_door(request: Request) -> Response:
    # Back to the page afterwards; where a part or an act was asked for, htmx tells the page's address.
    if in_part(request):
        shown = request.headers.get("hx-current-url", "").split("?")[0]
        _, slash, path = shown.partition("//")[2].partition("/")
        return Response(status_code=401, headers={"HX-Redirect": _door(slash + path)})
    url = _door(request.url.path if request.method == "GET" else "")
    elsewhere = request.headers.get("sec-fetch-site") == "cross-site"
    if elsewhere and request.method == "GET" and "again" not in request.query_params:
        # A link in a mail: the browser keeps a SameSite=Strict cookie back. Asked again by a page of
        # ours, it sends it.
        return render(request, None, "samesite_refresh.html", url=f"{request.url.path}?again=1")
    return RedirectResponse(url, 303)


def _door(onward: str) -> str:
    return f"{LOGIN}?next={quote(onward)}" if onward else LOGIN


def _sorry(request: Request, error: Exception) -> Response:
    status, said, headers = _tell(error)
    if status == 500:
        logger("page").error("unexpected error", exc_info=error)
    if in_part(request):
        # Into the line that is read out; what the page shows stays.
        headers |= {"HX-Retarget": "#said", "HX-Reswap": "innerHTML", "HX-Reselect": "unset"}
        response = render(request, None, "_toast.html", status, said=said, tone="bad")
    else:
        response = render(
            request, None, "error.html", status, title=formatting.title(status), said=said, code=status
        )
    response.headers.update(headers)
    return response


def _tell(error: Exception) -> tuple[int, str, dict[str, str]]:
    """Say what went wrong: status, a sentence for people, headers."""
    status, headers = 500, dict[str, str]()
    said = "Something went wrong on our side. It was logged; nothing was changed."
    match error:
        case Unknown():
            status, said = 404, str(error)
        case Refused():
            status, said = 409, str(error)
        case Forged():
            status = 403
            said = "This form did not come from a page of yours. Reload the page and try again."
        case DependencyUnavailable():
            status, headers = 503, {"Retry-After": "5"}
            said = (
                f"The {error.dependency} is away, so this cannot be shown or done now. Nothing was changed."
            )
        case RetryableError():
            status, said = 422, f"The {error.reason}."
        case RequestValidationError():
            status, said = 422, f"{formatting.wrong_fields(error)} Nothing was changed."
        case HTTPException():
            status, said, headers = error.status_code, str(error.detail), dict(error.headers or {})
    return status, said, headers
