"""A person at the dashboard, whose clicks and keys are counted."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from playwright.async_api import Locator, Page, expect

from tests.e2e.conftest import Dashboard
from tests.e2e.office.tasks import MOST_CLICKS, TASKS
from tests.support.web.browser import TIMEOUT_MS, Visitor


@dataclass
class Person:
    """Uses a window with a mouse and a keyboard. `keys` are those besides what is typed."""

    visitor: Visitor
    clicks: int = 0
    keys: int = 0

    @property
    def page(self) -> Page:
        return self.visitor.page

    async def click(self, target: Locator) -> None:
        await target.click()
        self.clicks += 1

    async def type(self, text: str) -> None:
        """Type into the field that has the focus."""
        await self.page.keyboard.type(text)

    async def press(self, key: str) -> None:
        await self.page.keyboard.press(key)
        self.keys += 1

    async def open_page(self, name: str) -> None:
        """Open a page by the navigation."""
        await self.click(self.page.get_by_role("navigation", name="Main").get_by_role("link", name=name))
        await expect(self.page.get_by_role("heading", level=1)).to_have_text(name)
        await self.visitor.wait_until_loaded()

    async def find(self, words: str, name: str) -> None:
        """Open a lead by the command palette."""
        await self.click(self.page.get_by_role("button", name="Find"))
        await self.type(words)
        found = self.page.locator("#palette-leads [role=option]").filter(
            has=self.page.get_by_text(name, exact=True)
        )
        await expect(found).to_be_visible(timeout=TIMEOUT_MS)
        await self.click(found)
        await expect(self.page.get_by_role("heading", level=1)).to_have_text(name)
        await self.visitor.wait_until_loaded()


@asynccontextmanager
async def doing(dashboard: Dashboard, key: str) -> AsyncIterator[Person]:
    """Open the overview for a task, and compare the person's clicks and keys with the table afterwards."""
    task = TASKS[key]
    async with dashboard.visit() as visitor:
        await visitor.open("/admin")
        person = Person(visitor)
        yield person
        assert (person.clicks, person.keys) == (task.clicks, task.keys), task.name
        assert person.clicks <= MOST_CLICKS, task.name
