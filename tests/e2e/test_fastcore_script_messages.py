"""Messages that `fastcore.js` keeps in the browser: they wait, are refused, and come back into their form."""

import json
import time
from typing import Any

import pytest
from playwright.async_api import Route, expect

from tests.support.wait import eventually
from tests.support.web.static_site import FIELDS, StaticSite

REFUSED = "ada@example.invalid"  # the browser accepts it, the gateway does not
DAY_MS = 86_400_000
NEWSLETTER = '<label>Email <input name="your-email" type="email"></label>'
# The fields of a draft: name, value and whether it is checked.
DRAFT = [["name", "Ada", False], ["your-email", REFUSED, False], ["message", "Please call me.", False]]
DRAFT += [["news", "on", True], ["_gotcha", "", False]]


def message(site: StaticSite, age_ms: float = 0, email: str = REFUSED, **changes: Any) -> dict[str, Any]:
    """Return a message as the script stores it, sent `age_ms` before now."""
    body = [["name", "Ada"], ["your-email", email], ["message", "Please call me."]]
    values = {"key": time.time() * 1000 - age_ms, "url": site.german_action, "body": body, "form": DRAFT}
    return values | changes


async def retry(site: StaticSite, path: str, *messages: dict[str, Any]) -> list[float]:
    """Let the page at `path` send these messages. Return the keys of those that still wait afterwards.

    The last of all messages is accepted, so that the ones before it were answered once it is gone.
    """
    await site.page.goto("/empty")
    last = message(site, age_ms=-DAY_MS, email="last@example.com")
    await site.store(*messages, last)
    await site.page.goto(path)
    return await eventually(site.store, until=lambda keys: last["key"] not in keys, what="the last answer")


async def test_draft_survives_a_reload_and_a_message_a_gateway_that_is_down(site: StaticSite) -> None:
    page = site.page
    await page.goto("/contact")
    await site.fill()
    await page.get_by_label("News").check()
    await page.reload()
    assert await page.get_by_label("Message").input_value() == "Please call me."
    assert await page.get_by_label("News").is_checked()
    site.gateway.kill()
    await site.send()
    await site.expect_status("will be sent soon")
    assert not await site.leads()
    site.gateway.start()
    await site.gateway.ready()
    await page.goto("/contact")  # the visitor comes back
    assert await page.get_by_label("Message").input_value() == ""
    assert (await site.lead()).message == "Please call me."
    await eventually(site.store, until=lambda keys: not keys, what="an empty store")
    assert len(await site.leads()) == 1


async def test_message_that_waits_is_sent_once_the_browser_is_online(site: StaticSite) -> None:
    page = site.page
    await page.goto("/contact")
    await site.fill()
    await page.context.set_offline(True)
    await site.send()
    await site.expect_status("will be sent soon")
    await page.context.set_offline(False)  # no reload
    assert (await site.lead()).email == "ada@example.com"
    await site.expect_status("Your saved message has been sent.")


async def test_visitor_who_comes_back_reads_that_the_message_was_sent(site: StaticSite) -> None:
    page = site.page
    await page.goto("/kontakt")
    await site.fill()
    site.gateway.kill()
    await site.send()
    await site.expect_status("Gespeichert. Wird bald gesendet.")
    site.gateway.start()
    await site.gateway.ready()
    await page.goto("/kontakt")
    await site.expect_status("Die gespeicherte Nachricht wurde gesendet.")
    assert (await site.lead()).message == "Please call me."


async def test_a_message_refused_after_it_waited_comes_back_once(site: StaticSite) -> None:
    page, email = site.page, site.page.get_by_label("Email")
    await page.goto("/kontakt")
    await site.fill()
    await page.get_by_label("News").check()
    await email.fill(REFUSED)
    site.gateway.kill()
    await site.send()
    await site.expect_status("Gespeichert. Wird bald gesendet.")
    await page.get_by_label("Message").fill("Another message")
    site.gateway.start()
    await site.gateway.ready()
    async with page.expect_response(site.gateway.url + "/**/forms/**"):
        await page.goto("/kontakt")
    assert await page.get_by_label("Message").input_value() == "Another message"  # a draft takes precedence
    assert len(await site.store()) == 1
    await page.get_by_label("Message").fill("")
    await page.evaluate("sessionStorage.clear()")
    await page.goto("/kontakt")
    await site.expect_status("Bitte prüfen Sie Ihre Nachricht")
    await expect(page.locator("#your-email-fastcore")).to_contain_text("E-Mail-Adresse")
    for _ in range(2):  # the visitor has it as a draft, and reads the refusal once
        assert await page.get_by_label("Message").input_value() == "Please call me."
        assert await page.get_by_label("News").is_checked()
        assert await site.store() == []
        await page.goto("/kontakt")
        await expect(page.get_by_role("status")).to_have_text("")
    await email.fill("ada@example.com")
    await site.send()
    await site.expect_status("Ihre Nachricht wurde gesendet.")
    assert (await site.lead()).message == "Please call me."


@pytest.mark.parametrize(
    ("status", "content_type", "body"),
    [
        (403, "application/problem+json", '{"detail": "The page\'s origin is not listed.", "status": 403}'),
        (404, "application/problem+json", '{"detail": "No site has this form key.", "status": 404}'),
        (400, "text/html", "<h1>Bad Request</h1>"),
    ],
    ids=["origin", "form key", "proxy"],
)
async def test_a_message_refused_for_no_mistake_of_the_visitor_is_kept(
    site: StaticSite, status: int, content_type: str, body: str
) -> None:
    page, waiting = site.page, message(site, email="ada@example.com")
    site.add_page("/empty")

    async def refuse(route: Route) -> None:
        is_last = "last%40" in (route.request.post_data or "")
        headers = {"Access-Control-Allow-Origin": "*", "Content-Type": content_type}
        await (route.continue_() if is_last else route.fulfill(status=status, headers=headers, body=body))

    await page.route(site.german_action, refuse)
    # No form on the page shows what became of the last message, which is accepted.
    assert await retry(site, "/empty", waiting) == [waiting["key"]]
    await page.goto("/kontakt")
    await site.expect_status("Ihre Nachricht wurde nicht gesendet")
    assert await page.get_by_label("Message").input_value() == ""
    assert await site.store() == [waiting["key"]]
    await page.unroute(site.german_action)  # the owner of the site corrects the mistake
    await page.goto("/kontakt")
    await site.expect_status("Die gespeicherte Nachricht wurde gesendet.")
    await eventually(site.store, until=lambda keys: not keys, what="an empty store")
    assert "ada@example.com" in [lead.email for lead in await site.leads()]


@pytest.mark.parametrize("status", [429, 503])
async def test_a_message_that_cannot_be_sent_now_holds_up_no_other(site: StaticSite, status: int) -> None:
    page, waiting = site.page, [message(site, email="slow@example.com"), message(site, age_ms=1000)]
    site.add_page("/empty")

    async def answer(route: Route) -> None:
        is_slow = "slow%40" in (route.request.post_data or "")
        await (route.fulfill(status=status) if is_slow else route.continue_())

    await page.route(site.german_action, answer)
    await retry(site, "/kontakt", *waiting)
    await eventually(site.store, until=lambda keys: keys == [waiting[0]["key"]], what="the refused message")


@pytest.mark.parametrize("body", ["null", '{"errors": null}', '{"errors": {"a": 1}}', '{"errors": [null]}'])
async def test_regression_the_json_of_a_proxy_does_not_stop_the_form(site: StaticSite, body: str) -> None:
    page = site.page
    await page.goto("/kontakt")
    await site.fill()
    headers = {"Access-Control-Allow-Origin": "*", "Content-Type": "application/json"}
    await page.route(site.german_action, lambda route: route.fulfill(status=403, headers=headers, body=body))
    await site.send()
    await site.expect_status("Ihre Nachricht wurde nicht gesendet")
    await page.unroute(site.german_action)
    await site.send()
    await site.expect_status("Ihre Nachricht wurde gesendet.")


@pytest.mark.parametrize("texts", ["", 'data-failed=""'])
@pytest.mark.parametrize("form", [None, [{"value": "Ada", "checked": False}]], ids=["none", "no names"])
async def test_a_refused_message_of_an_older_script_is_kept(
    site: StaticSite, form: list[Any] | None, texts: str
) -> None:
    old = message(site)
    old |= {"form": form, "key": 0.5} if form else {}
    if form is None:
        del old["form"]
    site.add_page("/empty")
    site.add_page("/kontakt", FIELDS, texts=texts)
    assert await retry(site, "/kontakt", old) == [old["key"]]
    assert await site.page.get_by_label("Name").input_value() == ""


async def test_a_refused_message_comes_back_only_into_a_form_with_its_fields(site: StaticSite) -> None:
    page, refused = site.page, message(site)
    site.add_page("/empty")
    site.add_page("/newsletter", NEWSLETTER)
    assert await retry(site, "/newsletter", refused) == [refused["key"]]
    assert await page.get_by_label("Email").input_value() == ""
    reordered = "".join(reversed(FIELDS.splitlines())) + '<label>City <input name="city"></label>'
    site.add_page("/both", f"<fieldset>{reordered}</fieldset>", NEWSLETTER)
    await page.goto("/both")
    form = page.locator("form").first
    await expect(form.get_by_role("status")).to_contain_text("Bitte prüfen Sie Ihre Nachricht")
    assert await form.get_by_label("Name", exact=True).input_value() == "Ada"
    assert await form.get_by_label("Email").input_value() == REFUSED
    assert await form.get_by_label("Message").input_value() == "Please call me."
    assert await form.get_by_label("News").is_checked()
    assert await form.get_by_label("City").input_value() == ""
    await eventually(site.store, until=lambda keys: not keys, what="an empty store")


async def test_fields_with_one_name_get_their_own_values_back(site: StaticSite) -> None:
    page, labels = site.page, ("Ada", "Grace", "Sales", "Support")
    names = "".join(f'<label>{label} <input name="guest"></label>' for label in labels[:2])
    topics = "".join(
        f'<label>{label} <input type="radio" name="topic" value="{label}"></label>' for label in labels[2:]
    )
    site.add_page("/kontakt", names + topics)
    await page.goto("/kontakt")
    for label in labels[:2]:
        await page.get_by_label(label).fill(label)
    await page.get_by_label("Support").check()
    await page.reload()
    assert [await page.get_by_label(label).input_value() for label in labels] == list(labels)
    assert await page.get_by_label("Support").is_checked()


async def test_a_refused_message_is_kept_for_a_week(site: StaticSite) -> None:
    site.add_page("/empty")
    old, young = message(site, age_ms=7 * DAY_MS), message(site, age_ms=6 * DAY_MS)
    assert await retry(site, "/empty", old, young) == [young["key"]]


async def test_a_message_that_waits_has_the_time_at_which_it_was_sent(site: StaticSite) -> None:
    await site.page.goto("/contact")
    await site.fill()
    before = time.time() * 1000
    await site.page.context.set_offline(True)
    await site.send()
    await site.expect_status("will be sent soon")
    (key,) = await site.store()
    assert before - 1000 <= key <= time.time() * 1000 + 1000


async def test_a_draft_of_an_older_script_breaks_nothing(site: StaticSite) -> None:
    page = site.page
    await page.goto("/kontakt")
    draft = json.dumps([{"value": "Ada", "checked": False}, {"value": "ada@example.com", "checked": False}])
    await page.evaluate("([name, draft]) => sessionStorage.setItem(name, draft)", [site.german_action, draft])
    await page.goto("/kontakt")
    await site.fill()
    await site.send()
    await site.expect_status("Ihre Nachricht wurde gesendet.")
    assert (await site.lead()).email == "ada@example.com"


async def test_the_answer_of_a_captcha_is_not_part_of_a_message(site: StaticSite) -> None:
    page = site.page
    captcha = '<textarea name="g-recaptcha-response" hidden>token</textarea>'
    site.add_page("/captcha", FIELDS + captcha)
    await page.goto("/captcha")
    await site.fill()
    await page.get_by_label("Email").fill(REFUSED)
    await page.route(site.german_action, lambda route: route.abort())
    await site.send()
    await site.expect_status("Gespeichert. Wird bald gesendet.")
    await page.unroute(site.german_action)
    await page.goto("/kontakt")  # the provider adds its field later
    await site.expect_status("Bitte prüfen Sie Ihre Nachricht")
    assert await page.get_by_label("Message").input_value() == "Please call me."
