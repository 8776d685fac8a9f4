"""A real Chromium that visits the dashboard, and everything that it has to complain about."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from playwright.async_api import (
    Browser,
    ConsoleMessage,
    Page,
    Request,
    ViewportSize,
    async_playwright,
    expect,
)

AXE = (Path(__file__).parent / "vendor" / "axe-4.14.1.min.js").read_text(encoding="utf-8")
# `color-contrast` and the rest of WCAG 2.2 AA, with what axe counts as good practice.
AXE_RUN = "axe.run(document, {resultTypes: ['violations']}).then(found => found.violations)"
AXE_COLOURS = AXE_RUN.replace("{", "{runOnly: ['color-contrast'], ", 1)
SIZES: dict[str, ViewportSize] = {
    "desktop": {"width": 1280, "height": 800},
    "phone": {"width": 390, "height": 844},
}
Size = Literal["desktop", "phone"]
Theme = Literal["light", "dark"]
# The machine of a test may be busy; nothing here takes so long by itself.
PATIENCE_MS = 15_000


def chromium() -> str:
    """The browser's path; without one the tests fail, and say what to install."""
    named = os.environ.get("FASTCORE_CHROMIUM")
    found = (
        named or shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    )
    if not found or not Path(found).exists():
        raise RuntimeError(
            f"the browser tests need Chromium, and {named or 'none'} is here: install it"
            " (Debian, Ubuntu: apt-get install chromium) or name one in FASTCORE_CHROMIUM"
        )
    return found


@asynccontextmanager
async def running_browser() -> AsyncIterator[Browser]:
    """Start the browser; its contexts are a test's own."""
    async with async_playwright() as playwright:
        # Chromium's sandbox does not work for root, whom containers of CI often are.
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = await playwright.chromium.launch(
            executable_path=chromium(), args=[*arguments, "--disable-dev-shm-usage"]
        )
        try:
            yield browser
        finally:
            await browser.close()


@dataclass
class Visitor:
    """Somebody at a browser. `complaints` is what the browser says against us; `urls` all it asked for.

    `documents` are the paths of the pages that were loaded as a whole.
    """

    page: Page
    url: str
    complaints: list[str] = field(default_factory=list)
    urls: list[str] = field(default_factory=list)
    documents: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.set_default_timeout(PATIENCE_MS)
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.complaints.append(f"script: {error}"))
        self.page.on("request", self._request)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"console: {message.text}")

    def _request(self, request: Request) -> None:
        self.urls.append(request.url)
        if request.is_navigation_request():
            self.documents.append(urlsplit(request.url).path)
        if not request.url.startswith(f"{self.url}/"):
            self.complaints.append(f"another origin: {request.url}")

    async def open(self, path: str) -> None:
        """Open a page and wait until its parts are there."""
        await self.page.goto(self.url + path)
        await self.settled()

    async def settled(self) -> None:
        await self.page.wait_for_load_state()
        # No wait_for_function: it needs eval, which the pages' policy forbids.
        await expect(self.page.locator("[aria-busy=true], .htmx-request")).to_have_count(
            0, timeout=PATIENCE_MS
        )

    async def sign_in(self, token: str) -> None:
        await self.page.goto(f"{self.url}/admin/login")
        await self.page.get_by_label("Admin token").fill(token)
        await self.page.get_by_role("button", name="Sign in").click()
        await self.page.wait_for_url(f"{self.url}/admin")

    @property
    def path(self) -> str:
        return urlsplit(self.page.url).path

    async def said(self, text: str) -> None:
        """Wait for the line that is read out."""
        await expect(self.page.locator("#said")).to_contain_text(text, timeout=PATIENCE_MS)

    async def look(self) -> None:
        """Fail on anything that the browser or the accessibility check has against the page as it is."""
        await self.settled()
        assert not self.complaints, f"{self.path}: {self.complaints}"
        widths: list[int] = await self.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert widths[0] <= widths[1], f"{self.path} is wider than the screen: {widths}"
        await self._check(AXE_RUN)

    async def look_in_both_themes(self) -> None:
        """Look at the page, and once more at its colours in the dark."""
        await self.look()
        await self.page.emulate_media(color_scheme="dark")
        await self._check(AXE_COLOURS)
        await self.page.emulate_media(color_scheme="light")

    async def _check(self, run: str) -> None:
        if not await self.page.evaluate("'axe' in window"):
            await self.page.evaluate(AXE)
        found: list[dict[str, Any]] = await self.page.evaluate(run)
        grave = [
            f"{each['id']} ({each['impact']}): {node['html'][:200]} {node['failureSummary']}"
            for each in found
            if each["impact"] in ("serious", "critical")
            for node in each["nodes"]
        ]
        assert grave == [], f"{self.path}: {grave}"


@asynccontextmanager
async def visiting(
    browser: Browser, url: str, size: Size = "desktop", theme: Theme = "light", **options: Any
) -> AsyncIterator[Visitor]:
    """Open a browser window that knows nothing yet."""
    context = await browser.new_context(
        viewport=SIZES[size],
        color_scheme=theme,
        timezone_id="Asia/Kolkata",  # not the machine's, and not on full hours from UTC
        locale="en-GB",
        has_touch=size == "phone",
        reduced_motion="reduce",
        **options,
    )
    try:
        yield Visitor(await context.new_page(), url)
    finally:
        await context.close()
