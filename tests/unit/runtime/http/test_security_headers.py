"""The security headers of every response."""

import httpx
from fastapi import FastAPI
from starlette.responses import Response

from runtime.http.security_headers import DEFAULTS, SecurityHeaders


async def get(app: FastAPI, path: str) -> httpx.Response:
    transport = httpx.ASGITransport(SecurityHeaders(app), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        return await client.get(path)


async def test_every_response_has_the_security_headers() -> None:
    app = FastAPI()

    @app.get("/broken")
    async def broken() -> None:
        raise RuntimeError

    for path, status in (("/broken", 500), ("/nothing", 404), ("/openapi.json", 200)):
        answer = await get(app, path)
        assert answer.status_code == status
        assert all(answer.headers[name.decode()] == value.decode() for name, value in DEFAULTS)


async def test_headers_of_the_response_take_precedence() -> None:
    app = FastAPI()

    @app.get("/")
    async def page() -> Response:
        return Response(headers={"Cache-Control": "public", "Content-Security-Policy": "default-src 'self'"})

    answer = await get(app, "/")
    assert answer.headers.get_list("cache-control") == ["public"]
    assert answer.headers.get_list("content-security-policy") == ["default-src 'self'"]
    assert answer.headers["x-content-type-options"] == "nosniff"
