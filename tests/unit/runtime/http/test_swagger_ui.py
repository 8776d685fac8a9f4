"""The page of Swagger UI and its content security policy."""

import base64
import hashlib
import re

import httpx
from fastapi_offline import FastAPIOffline

from runtime.http.security_headers import SecurityHeaders
from runtime.http.swagger_ui import add_docs_page


async def test_docs_page_may_run_only_its_own_script() -> None:
    app = FastAPIOffline(docs_url=None, redoc_url=None, static_url="/files")
    add_docs_page(app, "/docs", "/files")
    transport = httpx.ASGITransport(SecurityHeaders(app))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        page = await client.get("/docs")
        (script,) = re.findall(r"<script>(.*?)</script>", page.text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        policy = page.headers["content-security-policy"]
        assert f"script-src 'self' 'sha256-{digest}';" in policy
        assert "frame-ancestors 'none'" in policy
        for url in re.findall(r'(?:src|href)="([^"]+)"', page.text):
            assert (await client.get(url)).status_code == 200, url
