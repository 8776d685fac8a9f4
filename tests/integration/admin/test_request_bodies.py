"""Request bodies: the admin service reads none before authentication, and bounds the others."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import psutil
import pytest

from tests.support.services.admin import TOKEN
from tests.support.services.processes import ServiceProcess, processes
from tests.support.wait import eventually
from tests.support.web.plain_http import plain_client

MEGABYTE = 1_000_000
# Parsed, it is 612 MB of lists.
HOSTILE = b"[" + b"[]," * (20 * MEGABYTE // 3) + b"[]]"
KNOWN, UNKNOWN = {"Authorization": f"Bearer {TOKEN}"}, {"Authorization": "Bearer a-wrong-token"}


@pytest.fixture
async def admin(tmp_path: Path) -> AsyncIterator[ServiceProcess]:
    environment = {
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/x",
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "FASTCORE_ADMIN_TOKEN": TOKEN,
        "DEBUG": "false",
    }
    with processes(tmp_path, environment, "admin") as started:
        service = started["admin"]
        async with plain_client(base_url=service.url) as client:

            async def alive() -> int:
                try:
                    return (await client.get("/livez")).status_code
                except httpx.HTTPError:
                    return 0

            await eventually(alive, until=lambda code: code == 200)
        yield service


async def chunked(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), 65_536):
        yield body[start : start + 65_536]


async def test_regression_a_large_body_without_a_token_takes_no_memory(admin: ServiceProcess) -> None:
    assert admin.process is not None
    process = psutil.Process(admin.process.pid)
    before = process.memory_info().rss
    async with plain_client(base_url=admin.url, timeout=20) as client:
        for headers, status in ((UNKNOWN, 401), ({}, 401), (KNOWN, 413)):
            for content in (HOSTILE, chunked(HOSTILE)):
                answer = await client.post("/admin/leads/erase", content=content, headers=headers)
                assert answer.status_code == status
                assert answer.headers["content-type"] == "application/problem+json"
        for path, status in (("/admin/login", 413), ("/admin/ui/leads", 303)):
            content = b"token=" + b"a" * 20 * MEGABYTE
            form = {"Content-Type": "application/x-www-form-urlencoded"}
            assert (await client.post(path, content=content, headers=form)).status_code == status
        # Deep nesting and many small values within the limit.
        for body in (b"[" * 250_000, b"[" + b"[]," * 80_000 + b"[]]"):
            assert (await client.post("/admin/leads/erase", content=body, headers=KNOWN)).status_code in (
                400,
                422,
            )
    assert process.memory_info().rss - before < 60 * MEGABYTE


async def test_every_response_has_the_security_headers(admin: ServiceProcess) -> None:
    async with plain_client(base_url=admin.url) as client:
        for path in ("/livez", "/admin/leads", "/admin/login", "/admin/docs", "/nothing"):
            answer = await client.get(path)
            assert "frame-ancestors 'none'" in answer.headers["content-security-policy"], path
            assert answer.headers.get_list("x-content-type-options") == ["nosniff"], path
            assert answer.headers.get_list("referrer-policy") == ["no-referrer"], path
            assert answer.headers["cache-control"] == "no-store", path
