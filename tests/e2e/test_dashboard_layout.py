"""The layout in a real browser: steady columns, cards that open a lead, large targets, and the 404 page."""

from uuid import uuid4

import pytest
from playwright.async_api import Page, expect

from tests.e2e.conftest import Dashboard
from tests.support.web.browser import SIZES, Size, Visitor

pytestmark = pytest.mark.asyncio(loop_scope="session")
# Elements that a finger must hit, smaller than 24 px (WCAG 2.2, target size). Links within a text are exempt.
SMALL_TARGETS = """
[...document.querySelectorAll('a[href], button, summary, select, input')].filter((element) => {
  const { width, height } = element.getBoundingClientRect();
  return width && height && !element.matches('.skip') && (width < 24 || height < 24);
}).map((element) => element.outerHTML.slice(0, 120))
"""
# Search fields that are too narrow to read what is typed.
NARROW_FIELDS = """
[...document.querySelectorAll('#search :is(input:not([type=checkbox]), select)')].filter((element) => {
  const { width } = element.getBoundingClientRect();
  return width && width < 130;
}).map((element) => element.id)
"""
COLUMNS = "[...document.querySelectorAll('#list th[scope=col]')].map((each) => each.offsetWidth)"


async def post_and_list(dashboard: Dashboard, visitor: Visitor, **fields: str) -> tuple[str, str]:
    """Post a lead, wait until the list shows it, and return its name and id."""
    tag = uuid4().hex[:10]
    name = fields.pop("name", f"Lea {tag}")
    lead_id = await dashboard.post_and_store(name=name, **({"email": f"{tag}@example.com"} | fields))
    await visitor.open("/admin/ui/leads")
    await expect(visitor.page.locator(f"[id='lead-{lead_id}']")).to_be_visible()
    return name, lead_id


async def click_corner(page: Page, selector: str) -> None:
    """Tap the lower left corner of a card, away from its texts."""
    box = await page.locator(selector).first.bounding_box()
    assert box
    await page.locator(selector).first.click(position={"x": 6, "y": box["height"] - 6})


async def test_regression_columns_keep_their_widths_and_emails_are_whole(dashboard: Dashboard) -> None:
    async with dashboard.visit() as visitor:
        page = visitor.page
        await post_and_list(dashboard, visitor)
        before = await page.evaluate(COLUMNS)
        email = f"wilhelmina.{uuid4().hex[:6]}@example-firm.com"
        _, lead_id = await post_and_list(
            dashboard, visitor, email=email, company="The Very Long Company Name of Brothers & Sons " * 3
        )
        assert await page.evaluate(COLUMNS) == before
        height = await page.locator(f"[id='lead-{lead_id}'] .sub").evaluate("(e) => e.offsetHeight")
        assert height < 30, "the address is on one line"
        await visitor.check()
        await page.set_viewport_size(SIZES["phone"])
        assert await page.locator(f"[id='lead-{lead_id}'] .sub").evaluate("(e) => e.offsetHeight") < 30


async def test_regression_on_a_phone_the_whole_card_opens_a_lead(dashboard: Dashboard) -> None:
    async with dashboard.visit("phone") as visitor:
        page = visitor.page
        name, lead_id = await post_and_list(dashboard, visitor)
        # The controls in a card still work.
        await page.get_by_label(f"Status of {name}", exact=True).select_option("contacted")
        await page.get_by_role("button", name=f"Save status of {name}").click()
        await visitor.expect_toast("Status changed to Contacted.")
        await page.get_by_role("button", name="Dismiss").click()
        await click_corner(page, f"[id='lead-{lead_id}']")
        await page.wait_for_url(f"**/{lead_id}")
        await visitor.open(f"/admin/ui/audit?lead_id={lead_id}")
        details = page.locator("#list details").first
        await details.locator("summary").click()
        await expect(details).to_have_attribute("open", "")
        await click_corner(page, "#list tbody tr")
        await page.wait_for_url(f"**/{lead_id}")


async def test_regression_targets_on_a_phone_are_large_enough(dashboard: Dashboard) -> None:
    async with dashboard.visit("phone") as visitor:
        _, lead_id = await post_and_list(dashboard, visitor)
        for path in (
            "/admin/ui/leads",
            f"/admin/ui/leads/{lead_id}",
            "/admin/ui/audit",
            "/admin/ui/workbench",
        ):
            await visitor.open(path)
            assert await visitor.page.evaluate(SMALL_TARGETS) == [], path


async def test_regression_search_fields_on_a_phone_are_wide_enough(dashboard: Dashboard) -> None:
    async with dashboard.visit("phone") as visitor:
        for path in ("/admin/ui/audit", "/admin/ui/leads", "/admin/ui/leads?site=studio"):
            await visitor.open(path)
            assert await visitor.page.evaluate(NARROW_FIELDS) == [], path
            await visitor.check()


@pytest.mark.parametrize("size", SIZES)
async def test_regression_an_unknown_page_keeps_the_navigation(dashboard: Dashboard, size: Size) -> None:
    async with dashboard.visit(size) as visitor:
        for path in ("/admin/ui/nothing", f"/admin/ui/leads/{uuid4()}"):
            await visitor.open(path)
            await expect(visitor.page.get_by_role("heading", name="Not found")).to_be_visible()
            navigation = visitor.page.get_by_role("navigation", name="Main")
            await expect(navigation.get_by_role("link", name="Leads")).to_be_visible()
            # The browser reports the 404, and must report nothing else.
            assert [problem for problem in visitor.problems if "404" not in problem] == []
            visitor.problems.clear()
            await visitor.check_in_both_themes()


async def test_regression_a_campaign_is_shown_from_source_to_content(dashboard: Dashboard) -> None:
    names = ("content", "term", "campaign", "medium", "source")
    source = {f"utm_{name}": name for name in names} | {"gclid": "x"}
    lead_id = await dashboard.post_and_store(source=source)
    async with dashboard.visit() as visitor:
        await visitor.open(f"/admin/ui/leads/{lead_id}")
        found = await visitor.page.locator("dt", has_text="UTM").all_inner_texts()
        assert found == ["UTM source", "UTM medium", "UTM campaign", "UTM term", "UTM content"]
        await visitor.check()
