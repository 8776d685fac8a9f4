"""The doctor's results for a service that is ready, but warns, and for logins at the mail server."""

from typing import Any

import pytest
from aiohttp import web

from deploy.cli.doctor.check_result import CheckResult
from deploy.cli.doctor.dependencies import _warnings, check_mail, check_services
from services.admin.schemas.system import PartHealth
from services.admin.settings import Settings as Admin
from services.notifier.settings import Smtp
from tests.support.mail.smtp import SmtpServer, smtp_server
from tests.support.mail.token_endpoint import TokenEndpoint, token_endpoint
from tests.support.web.http_server import serve


def test_a_part_that_works_and_has_a_reason_is_a_warning() -> None:
    parts: dict[str, Any] = {
        "database": {"ok": True, "reason": ""},
        "sites_file": {"ok": True, "reason": "warning: sites.toml: is not TOML"},
        "smtp": {"ok": False, "reason": "away"},
    }
    assert list(_warnings(PartHealth(state="up", parts=parts))) == [
        ("sites_file", "warning: sites.toml: is not TOML")
    ]
    assert list(_warnings(PartHealth(state="up", parts=None))) == []


@pytest.mark.parametrize(
    ("part", "todo"),
    [
        ("emails", "docs/runbooks/MailFailures.md"),
        ("templates", "python -m deploy.cli.sites check FILE"),
        ("other", "the log of the service has more"),
    ],
)
async def test_a_warning_says_what_to_do_about_its_part(part: str, todo: str) -> None:
    async def readyz(_: web.Request) -> web.Response:
        parts = {part: {"ok": True, "reason": "warning: look"}}
        return web.json_response({"status": "ready", "parts": parts})

    async with serve(readyz) as url:
        unused: dict[str, Any] = {"kafka": None, "postgres": None}
        admin = Admin.model_construct(**unused, service_urls={"notifier": url}, gateway_urls=())
        results = [each async for each in check_services(admin)]
    assert (f"notifier: {part}: warning: look", todo) in [(each.seen, each.todo) for each in results]


async def check(server: SmtpServer, endpoint: TokenEndpoint, **changes: Any) -> CheckResult:
    settings = {
        "host": "127.0.0.1",
        "port": server.port,
        "tls": False,
        "user": "leads@nord.studio",
        "oauth_flow": "client_credentials",
        "oauth_token_url": endpoint.url,
        "oauth_client_id": "client",
        "oauth_client_secret": "secret-word",
        "oauth_scope": "mail",
    }
    (result,) = [each async for each in check_mail(Smtp.model_validate(settings | changes))]
    return result


async def test_the_login_with_xoauth2_is_checked() -> None:
    async with (
        token_endpoint() as endpoint,
        smtp_server(credentials=("leads@nord.studio", ""), tokens=endpoint.valid) as server,
    ):
        good = await check(server, endpoint)
        assert (good.level, good.seen.partition(", ")[2]) == (
            "ok",
            "no TLS, logged in with XOAUTH2 (client_credentials)",
        )
        assert len(server.logins) == 1
        endpoint.fail("invalid_client")
        refused = await check(server, endpoint)
        assert (refused.level, "SMTP_OAUTH_CLIENT_SECRET" in refused.seen) == ("fail", True)
        assert refused.todo.startswith("docs/email.md#xoauth2")
        endpoint.heal()
        other = await check(server, endpoint, user="other@nord.studio")
        assert (other.level, other.seen.partition(" ")[2]) == ("fail", "answered 535")


async def test_the_login_with_a_password_is_checked() -> None:
    async with token_endpoint() as endpoint, smtp_server(credentials=("us", "secret-word")) as server:
        password = {"oauth_flow": None, "user": "us", "password": "secret-word"}
        assert (await check(server, endpoint, **password)).seen.endswith("no TLS, logged in")
        wrong = await check(server, endpoint, **password | {"password": "other-word"})
        assert (wrong.level, wrong.seen.partition(" ")[2]) == ("fail", "answered 535")
        nobody = await check(server, endpoint, oauth_flow=None, user=None)
        assert nobody.seen.endswith("no TLS, no login")
