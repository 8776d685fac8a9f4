"""The GET routes of HTML forms: the thanks page, the script, and the captcha's challenges."""

from typing import Final

from fastapi import FastAPI, Request
from starlette.responses import JSONResponse, Response

from services.ingest import problems
from services.ingest.forms.pages import accepts_html, thanks_page, unknown_form_page
from services.ingest.forms.script import script_response
from services.ingest.site_directory import SiteDirectory

THANKS_PATH: Final = "/inbound/forms/{form_key}/thanks"
CHALLENGE_PATH: Final = "/inbound/forms/{form_key}/challenge"
SCRIPT_PATH: Final = "/inbound/forms/{form_key}/fastcore.js"
ENGLISH_SCRIPT_PATH: Final = "/inbound/static/fastcore.js"


def add_form_routes(api: FastAPI, directory: SiteDirectory) -> None:
    """Add the routes. The route of the challenges uses the captcha in `api.state.captcha`."""

    async def thanks(form_key: str, request: Request) -> Response:
        if name := directory.find_by_form_key(form_key):
            return thanks_page(directory.get(name))
        if accepts_html(request.headers.get("accept")):
            return unknown_form_page(request.headers.get("accept-language"))
        return problems.UNKNOWN_FORM.response()

    async def challenge(form_key: str) -> Response:
        name = directory.find_by_form_key(form_key)
        if name is None:
            return problems.UNKNOWN_FORM.response()
        return JSONResponse(api.state.captcha.create_challenge(name), headers={"Cache-Control": "no-store"})

    async def script(form_key: str, request: Request) -> Response:
        name = directory.find_by_form_key(form_key)
        if name is None:
            return problems.UNKNOWN_FORM.response()
        return script_response(directory.get(name).locale, request.headers.get("if-none-match"))

    async def english_script(request: Request) -> Response:
        return script_response(None, request.headers.get("if-none-match"))

    read = ["GET", "HEAD"]
    api.add_api_route(THANKS_PATH, thanks, include_in_schema=False)
    api.add_api_route(CHALLENGE_PATH, challenge, include_in_schema=False)
    api.add_api_route(SCRIPT_PATH, script, methods=read, include_in_schema=False)
    api.add_api_route(ENGLISH_SCRIPT_PATH, english_script, methods=read, include_in_schema=False)
