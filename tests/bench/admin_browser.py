"""`python -m tests.bench.admin --browser`: the pages of the admin service at a million leads, in a browser.

The admin service runs as a process of its own, with Kafka and the large database. A time begins with the
click and ends when the page is rendered: all its htmx requests are complete, and the browser has painted
twice.
"""

import statistics
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, get_args

import asyncpg
from playwright.async_api import Browser, BrowserContext, Page
from rich.console import Console
from rich.table import Table

from deploy.cli.topics import provision
from deploy.embedded.servers.standalone import running_kafka
from runtime.settings import Kafka
from services.admin.dashboard.charts import RANGES
from services.admin.dashboard.lead_search import PERIODS
from services.admin.schemas.filters import LeadOrder
from tests.bench.inputs.large_database import SQL
from tests.support.services.processes import ServiceProcess
from tests.support.web.browser import running_browser

LIMIT_MS: Final = 150.0
TOKEN: Final = "bench-admin-token-0123456789abcdef"
TIMEOUT_MS: Final = 30_000
# Each turn has another zone, because the overview is cached for each zone.
ZONES: Final = ("Africa/Cairo", "America/Bogota", "America/Lima", "Asia/Tokyo", "Asia/Seoul", "Asia/Dubai",
    "Europe/Athens", "Europe/Berlin", "Europe/Dublin", "Europe/Helsinki", "Europe/Kyiv", "Europe/Lisbon",
    "Europe/London", "Europe/Madrid", "Europe/Oslo", "Europe/Paris", "Europe/Prague", "Europe/Rome",
    "Europe/Vienna", "Europe/Warsaw")  # fmt: skip
# In the page, so that the times of the test program and of its connection to the browser do not count.
_ACTIONS: Final = {action: f"#bulk button[value={action}]" for action in ("status", "assign", "erase")}
_PAINTED: Final = """
window.painted = async () => {
  const frame = () => new Promise((resolve) => requestAnimationFrame(resolve));
  do { await frame(); } while (document.querySelector(".htmx-request, [aria-busy=true]"));
  await frame();
  return performance.now();
};
addEventListener("load", () => { window.opened = window.painted(); });
"""
_OPENED: Final = """async () => {
  const end = await window.opened;
  const requests = ["navigation", "resource"].flatMap((type) => performance.getEntriesByType(type))
    .filter((each) => each.name.includes("/admin") && !each.name.includes("/static/") && each.responseStart);
  return [end, Math.max(...requests.map((each) => each.responseStart - each.requestStart))];
}"""
_ACTED: Final = """async ([selector, value]) => {
  performance.clearResourceTimings();
  const settled = new Promise((resolve) => addEventListener("htmx:afterSettle", resolve, {once: true}));
  const target = document.querySelector(selector), start = performance.now();
  if (value === null) target.click();
  else { target.value = value; target.form.requestSubmit(); }
  await settled;
  const end = await window.painted();
  const requests = performance.getEntriesByType("resource")
    .filter((each) => each.initiatorType === "xmlhttprequest");
  return [end - start, Math.max(...requests.map((each) => each.responseStart - each.requestStart))];
}"""

_SUBMITTED: Final = """(selector) => {
  const button = document.querySelector(selector);
  button.form.elements.matching.checked = true;
  button.click();
}"""


@dataclass(frozen=True)
class Step:
    """One thing that a person does. `path` is the page on which it happens.

    Without `selector`, the step is to open that page. With it, the step is a click, or a search for `value`;
    htmx sends the request, or else the browser opens another page.
    """

    name: str
    path: str
    selector: str = ""
    value: str | None = None
    is_htmx: bool = True


@dataclass(frozen=True)
class Times:
    """The times of one step in milliseconds: until the page is rendered, and until the server responds."""

    step: Step
    rendered: list[float] = field(default_factory=list)
    server: list[float] = field(default_factory=list)

    @property
    def p95(self) -> float:
        return sorted(self.rendered)[min(len(self.rendered) - 1, int(len(self.rendered) * 0.95))]


def steps(sample: dict[str, Any]) -> list[Step]:
    """Return the steps: each list, order, filter, saved view, range of the overview, and kind of page."""
    leads = "/admin/ui/leads"
    filters = {
        "status": "status=won",
        "two statuses": "status=won&status=lost",
        "service": "service=Web+design",
        "part of a service": "service=wish",
        "site": "site=shop",
        "source": "source=google",
        "first source": "first_source=google",
        "campaign": "campaign=campaign+0",
        "landing page": "landing_page=https%3A%2F%2Ffast-techservices.example%2Fpage-0",
        "assignee": "assignee=ann",
        "unassigned": "assignee=%40nobody",
        "unanswered over a day": "waiting=24",
        "dates": "since=2025-01-01&until=2025-06-30",
        "source, status": "source=google&status=won",
        "site, status": "site=shop&status=won",
        "campaign, status": "campaign=campaign+0&status=won",
        "source, site, status, by name": "source=google&site=default&status=won&sort=name",
        **{f"received {period}": f"received={period}" for period in PERIODS},
    }
    lead = f"{leads}/{sample['lead']}"
    searches = ("okafor", "gmail", "maria okafor", "030 1234567", "Anna 0151 2345", "would like", "qqzzxy")
    return [
        *(Step(f"overview, {key}", f"/admin?range={key}") for key in RANGES),
        Step("leads", leads),
        Step("leads, 100 rows", f"{leads}?rows=100"),
        *(Step(f"order: {order}", f"{leads}?sort={order}") for order in get_args(LeadOrder)),
        *(Step(f"filter: {name}", f"{leads}?{query}") for name, query in filters.items()),
        *(Step(f"search: {words}", leads, "#q", words) for words in searches),
        Step("search with filters: maria", f"{leads}?status=won&service=Training", "#q", "maria"),
        Step("click on a status", leads, "input[name=status][value=won]"),
        *(
            Step(
                f"preview: {action} all of a campaign", f"{leads}?campaign=campaign+9", button, is_htmx=False
            )
            for action, button in _ACTIONS.items()
        ),
        Step("lead", lead),
        Step("lead: edit", f"{lead}/edit"),
        Step("lead: delete personal data", f"{lead}/erase"),
        Step("views", "/admin/ui/views"),
        Step("system status", "/admin/status"),
        Step("failed deliveries", "/admin/ui/workbench"),
        Step("failed deliveries: retry all", "/admin/ui/workbench/replay?state=dead"),
        Step("replay", f"/admin/ui/workbench/replays/{sample['replay']}"),
        Step("held leads", "/admin/ui/held"),
        Step("audit log", "/admin/ui/audit"),
        Step("audit log: an actor", "/admin/ui/audit?actor=ann"),
        Step("audit log: an event", "/admin/ui/audit?event=email.sent"),
        Step("scheduled tasks", "/admin/ui/jobs"),
    ]


async def measure(url: str, turns: int, only: str, console: Console) -> list[Times]:
    """Start the admin service on a database, and measure each step in turns. `only` selects steps by name."""
    connection = await asyncpg.connect(url)
    sample = dict(await SQL.sample(connection))
    await connection.close()
    measured = [Times(step) for step in steps(sample) if only.lower() in step.name.lower()]
    async with _running_admin(url) as base, running_browser() as browser:
        for turn in range(-1, turns):  # the first turn fills the caches of the database and of the browser
            async with _signed_in(browser, base, ZONES[turn % len(ZONES)]) as page:
                for each in measured:
                    rendered, server = await _run_step(page, base, each.step)
                    if turn >= 0:
                        each.rendered.append(rendered)
                        each.server.append(server)
            console.print(f"turn {turn + 1} of {turns}")
    return measured


def report(measured: list[Times], console: Console) -> list[str]:
    """Print the times, and return the names of the steps over the limit."""
    table = Table("step", "server p50", "rendered p50", "p95", title="milliseconds")
    for each in measured:
        figures = (statistics.median(each.server), statistics.median(each.rendered), each.p95)
        style = "red" if each.p95 > LIMIT_MS else None
        table.add_row(each.step.name, *(f"{figure:.0f}" for figure in figures), style=style)
    console.print(table)
    return [each.step.name for each in measured if each.p95 > LIMIT_MS]


@asynccontextmanager
async def _running_admin(url: str) -> AsyncIterator[str]:
    with tempfile.TemporaryDirectory() as name, running_kafka(Path(name) / "kafka") as kafka:
        await provision(Kafka(bootstrap_servers=kafka.bootstrap_servers))
        environment = {
            "DEBUG": "true",
            "DATABASE_URL": url,
            "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
            "FASTCORE_ADMIN_TOKEN": TOKEN,
        }
        admin = ServiceProcess("admin", environment, Path(name))
        admin.start()
        try:
            await admin.ready(60)
            yield admin.url
        finally:
            await admin.stop()


@asynccontextmanager
async def _signed_in(browser: Browser, base: str, zone: str) -> AsyncIterator[Page]:
    context: BrowserContext = await browser.new_context(timezone_id=zone)
    context.set_default_timeout(TIMEOUT_MS)
    page = await context.new_page()
    await page.goto(f"{base}/admin/login")
    await page.get_by_label("Admin token").fill(TOKEN)
    await page.get_by_role("button", name="Sign in").click()
    await page.wait_for_url(f"{base}/admin")
    await page.add_init_script(_PAINTED)
    yield page
    await context.close()


async def _run_step(page: Page, base: str, step: Step) -> tuple[float, float]:
    """Do a step; return the milliseconds until the page is rendered, and until the slowest response began."""
    await page.goto(base + step.path)
    opened: list[float] = await page.evaluate(_OPENED)
    if step.selector and step.is_htmx:
        opened = await page.evaluate(_ACTED, [step.selector, step.value])
    elif step.selector:
        async with page.expect_navigation():
            await page.evaluate(_SUBMITTED, step.selector)
        opened = await page.evaluate(_OPENED)
    return opened[0], opened[1]
