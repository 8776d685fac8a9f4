"""The dashboard in this process: a client that opens its pages as a browser does."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from runtime.settings import Kafka, Postgres
from tests.support.services.admin import TOKEN, Admin, running_admin
from tests.support.stack import Stack

HTMX = {"HX-Request": "true"}


@asynccontextmanager
async def running_dashboard(postgres: Postgres, stack: Stack, **settings: Any) -> AsyncIterator[Admin]:
    """Run the admin service with a client that has no token. Its URL has TLS, which the cookie needs."""
    kafka = Kafka(bootstrap_servers=stack.bootstrap_servers, topic_prefix="nobody.")
    async with running_admin(postgres, kafka, **settings) as running:
        del running.client.headers["Authorization"]
        running.client.base_url = httpx.URL("https://admin")
        yield running


async def sign_in(admin: Admin) -> str:
    """Sign in, and return the session's CSRF token."""
    response = await admin.client.post("/admin/login", data={"token": TOKEN})
    assert response.status_code == 303, response.text
    return csrf_token((await admin.client.get("/admin/ui/jobs")).text)


def csrf_token(html: str) -> str:
    """Return the CSRF token of a page."""
    found = re.search(r'name="csrf" value="(\w+)"', html)
    assert found, html
    return found.group(1)
