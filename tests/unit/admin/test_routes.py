"""FastAPI compares the path of a request with the routes that may match, not with all others first."""

from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from starlette.routing import Match
from starlette.types import Scope

from services.admin.api import leads as leads_api
from services.admin.app import create_app
from services.admin.dashboard.pages import leads as leads_pages

TOKEN = "an-admin-token-1234567890-abc"
LEAD = "/admin/leads/0193b5c0-0000-7000-8000-000000000000"


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> FastAPI:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setenv("DATABASE_URL", "postgresql://127.0.0.1:1/none")
    monkeypatch.setenv("FASTCORE_ADMIN_TOKEN", TOKEN)
    return create_app()


def matching_route(app: FastAPI, path: str, method: str = "GET") -> Any:
    scope: Scope = {"type": "http", "path": path, "root_path": "", "method": method, "headers": []}
    return next(each for each in app.router.routes if each.matches(scope)[0] == Match.FULL)


@pytest.mark.parametrize(
    ("path", "searched", "skipped"),
    [(LEAD, leads_api, leads_pages), ("/admin/ui/leads", leads_pages, leads_api)],
)
def test_a_request_is_not_compared_with_the_other_group_of_routes(
    app: FastAPI, monkeypatch: pytest.MonkeyPatch, path: str, searched: Any, skipped: Any
) -> None:
    compared, matches = list[APIRouter](), APIRouter.matches

    def recorded(router: APIRouter, scope: Scope) -> tuple[Match, Scope]:
        compared.append(router)
        return matches(router, scope)

    monkeypatch.setattr(APIRouter, "matches", recorded)
    matching_route(app, path)
    assert searched.router in compared
    assert skipped.router not in compared


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/admin"), ("GET", "/admin/login"), ("POST", "/admin/logout"), ("GET", "/admin/status")],
)
def test_a_page_outside_of_ui_is_not_hidden_by_the_api(app: FastAPI, method: str, path: str) -> None:
    assert matching_route(app, path, method) is matching_route(app, "/admin/ui/leads")
