"""A Chromium window for tests, which collects console errors and checks accessibility and layout."""

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
from playwright.async_api import Error as PlaywrightError

AXE = (Path(__file__).parent / "vendor" / "axe-4.14.1.min.js").read_text(encoding="utf-8")
# All rules of axe: WCAG 2.2 AA and good practice. It cannot look into the frame of an email.
AXE_RUN = "axe.run(document, {resultTypes: ['violations'], iframes: false}).then(result => result.violations)"
AXE_COLOURS = AXE_RUN.replace("{", "{runOnly: ['color-contrast'], ", 1)
# First the build without a user interface, which Playwright uses by default, too: the same engine, but a new
# window takes 0.1 s of processor time instead of 1 s.
BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
SIZES: dict[str, ViewportSize] = {
    "desktop": {"width": 1280, "height": 800},
    "phone": {"width": 390, "height": 844},
}
Size = Literal["desktop", "phone"]
Theme = Literal["light", "dark"]
# Long enough for a busy machine.
TIMEOUT_MS = 15_000


def chromium() -> str:
    """Return the browser's path. Raises `RuntimeError` that says what to install if there is none."""
    configured = os.environ.get("FASTCORE_CHROMIUM")
    path = configured or next(filter(None, map(shutil.which, BROWSERS)), None)
    if not path or not Path(path).exists():
        raise RuntimeError(
            f"the browser tests need Chromium, and {configured or 'none'} was found. Install it"
            " (Debian: apt-get install chromium-headless-shell; Ubuntu: chromium)"
            " or set FASTCORE_CHROMIUM to its path."
        )
    return path


@asynccontextmanager
async def running_browser() -> AsyncIterator[Browser]:
    """Start a browser. Each test opens windows of its own in it."""
    async with async_playwright() as playwright:
        # Chromium's sandbox does not work as root, which CI containers often use.
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
    """A browser window. `problems` are console errors and requests to other origins.

    `urls` are all requested URLs, `documents` the paths of full page loads.
    """

    page: Page
    url: str
    problems: list[str] = field(default_factory=list)
    urls: list[str] = field(default_factory=list)
    documents: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.set_default_timeout(TIMEOUT_MS)
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.problems.append(f"script: {error}"))
        self.page.on("request", self._request)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.problems.append(f"console: {message.text}")

    def _request(self, request: Request) -> None:
        self.urls.append(request.url)
        if request.is_navigation_request():
            self.documents.append(urlsplit(request.url).path)
        if not request.url.startswith(f"{self.url}/"):
            self.problems.append(f"another origin: {request.url}")

    async def open(self, path: str) -> None:
        """Open a page and wait until its panels are loaded."""
        await self.page.goto(self.url + path)
        await self.wait_until_loaded()

    async def wait_until_loaded(self) -> None:
        """Wait until the page and its htmx requests are complete."""
        await self.page.wait_for_load_state()
        # wait_for_function needs eval, which the pages' content security policy forbids.
        await expect(self.page.locator("[aria-busy=true], .htmx-request")).to_have_count(
            0, timeout=TIMEOUT_MS
        )

    async def sign_in(self, token: str) -> None:
        await self.page.goto(f"{self.url}/admin/login")
        await self.page.get_by_label("Admin token").fill(token)
        await self.page.get_by_role("button", name="Sign in").click()
        await self.page.wait_for_url(f"{self.url}/admin")

    @property
    def path(self) -> str:
        return urlsplit(self.page.url).path

    async def expect_toast(self, text: str) -> None:
        """Wait for a message that contains the text."""
        await expect(self.page.locator("#toasts")).to_contain_text(text, timeout=TIMEOUT_MS)

    async def check(self) -> None:
        """Fail on console errors, a page wider than the screen, and accessibility violations."""
        await self.wait_until_loaded()
        assert not self.problems, f"{self.path}: {self.problems}"
        widths: list[int] = await self.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert widths[0] <= widths[1], f"{self.path} is wider than the screen: {widths}"
        await self._run_axe(AXE_RUN)

    async def check_in_both_themes(self) -> None:
        """Check the page, and its contrast in the dark theme."""
        await self.check()
        await self.page.emulate_media(color_scheme="dark")
        await self._run_axe(AXE_COLOURS)
        await self.page.emulate_media(color_scheme="light")

    async def _run_axe(self, script: str) -> None:
        if not await self.page.evaluate("'axe' in window"):
            await self.page.evaluate(AXE)
        violations: list[dict[str, Any]] = await self.page.evaluate(script)
        found = [
            f"{each['id']} ({each['impact']}): {node['html'][:200]} {node['failureSummary']}"
            for each in violations
            for node in each["nodes"]
        ]
        assert found == [], f"{self.path}: {found}"


@asynccontextmanager
async def open_window(
    browser: Browser, url: str, size: Size = "desktop", theme: Theme = "light", **options: Any
) -> AsyncIterator[Visitor]:
    """Open a window without cookies, unless `options` has a storage state."""
    context = await browser.new_context(
        viewport=SIZES[size],
        color_scheme=theme,
        timezone_id="Asia/Kolkata",  # not the machine's zone, and no whole hours from UTC
        locale="en-GB",
        has_touch=size == "phone",
        reduced_motion="reduce",
        **options,
    )
    try:
        page = await context.new_page()
        try:
            yield Visitor(page, url)
        except Exception as error:
            error.add_note(await _describe(page))
            raise
    finally:
        await context.close()


async def _describe(page: Page) -> str:
    """Return what a page shows, for the report of a failed test."""
    try:
        focused = await page.evaluate("document.activeElement?.outerHTML.slice(0, 200)")
        text = await page.inner_text("body", timeout=2_000)
    except PlaywrightError as error:
        return f"The page could not be read: {error}"
    return f"The page was {page.url}\nfocused: {focused}\nand showed: {text[:1_000]}"
