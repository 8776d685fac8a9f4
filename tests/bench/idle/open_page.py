"""Keeps a page of the dashboard open, as a browser does: it repeats the page's htmx requests."""

import asyncio
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

import httpx

_TAG: Final = re.compile(r"<[a-z]+ [^>]*hx-get=[^>]*>")
_ATTRIBUTE: Final = re.compile(r'hx-(get|trigger)="([^"]*)"')
_EVERY: Final = re.compile(r"every (\d+)s")


class Poll(NamedTuple):
    """A URL that an open page requests again and again, and the seconds between two requests."""

    url: str
    seconds: float


def find_polls(html: str) -> Iterator[Poll]:
    """Yield the requests that htmx repeats while this page is open."""
    for tag in _TAG.findall(html):
        attributes = dict(_ATTRIBUTE.findall(tag))
        if every := _EVERY.search(attributes.get("trigger", "")):
            yield Poll(attributes["get"].replace("&amp;", "&"), float(every[1]))


async def keep_open(base_url: str, path: str, token: str) -> None:
    """Log in, open a page, and repeat its requests until cancelled. Raises `httpx.HTTPError`."""
    async with httpx.AsyncClient(base_url=base_url, trust_env=False, timeout=30) as client:
        login = await client.post("/admin/login", data={"token": token})
        cookie = login.headers["set-cookie"].partition(";")[0]
        # The cookie is for TLS; the client would not send it over HTTP.
        client.cookies.clear()
        client.headers["Cookie"] = cookie
        page = (await client.get(path)).raise_for_status().text
        polls = list(find_polls(page))
        if not polls:
            raise RuntimeError(f"{path} has no request that repeats: {page[:200]}")
        client.headers["HX-Request"] = "true"
        await asyncio.gather(*(_repeat(client, poll) for poll in polls))


async def _repeat(client: httpx.AsyncClient, poll: Poll) -> None:
    while True:
        (await client.get(poll.url)).raise_for_status()
        await asyncio.sleep(poll.seconds)
