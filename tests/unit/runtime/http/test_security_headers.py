"""The headers that every response has."""

import base64
import hashlib
import re

import httpx
from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from starlette.responses import Response

from runtime.http.security_headers import DEFAULTS, SecurityHeaders
from runtime.http.swagger_ui import add_docs_page


async def get(app: FastAPI, path: str) -> httpx.Response:
    transport = httpx.ASGITransport(SecurityHeaders(app), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        return await client.get(path)


async def test_every_response_has_them_an_error_too() -> None:
    app = FastAPI()

    @app.get("/broken")
    async def broken() -> None:
        raise RuntimeError

    for path, status in (("/broken", 500), ("/nothing", 404), ("/openapi.json", 200)):
        answer = await get(app, path)
        assert answer.status_code == status
        assert all(answer.headers[name.decode()] == value.decode() for name, value in DEFAULTS)


async def test_what_a_response_says_itself_stays() -> None:
    app = FastAPI()

    @app.get("/")
    async def page() -> Response:
        return Response(headers={"Cache-Control": "public", "Content-Security-Policy": "default-src 'self'"})

    answer = await get(app, "/")
    assert answer.headers.get_list("cache-control") == ["public"]
    assert answer.headers.get_list("content-security-policy") == ["default-src 'self'"]
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_the_docs_page_may_run_its_own_script_and_no_other() -> None:
    app = FastAPIOffline(docs_url=None, redoc_url=None, static_url="/files")
    add_docs_page(app, "/docs", "/files")
    answer = await get(app, "/docs")
    (script,) = re.findall(r"<script>(.*?)</script>", answer.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = answer.headers["content-security-policy"]
    assert f"script-src 'self' 'sha256-{digest}';" in policy
    assert "frame-ancestors 'none'" in policy
    for url in re.findall(r'(?:src|href)="([^"]+)"', answer.text):
        assert (await get(app, url)).status_code == 200, url
