"""Errors as RFC 9457 problem details: a message for a person, never a trace, never what was sent."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from runtime.failures import DependencyUnavailable, RetryableError
from runtime.logs import logger
from services.admin.rules.lead_rules import Refused, Unknown

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = "2"


class FieldProblem(BaseModel):
    """What is wrong with one parameter."""

    field: str
    message: str


class Problem(BaseModel):
    """RFC 9457. `errors` names each wrong parameter of a 422."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[FieldProblem] | None = None


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe these answers for the OpenAPI document."""
    return {
        status: {"model": Problem, "description": HTTPStatus(status).phrase, "content": {MEDIA_TYPE: {}}}
        for status in statuses
    }


def problem(
    status: int,
    detail: str,
    errors: list[FieldProblem] | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """Build the answer."""
    title = HTTPStatus(status).phrase
    kind = f"urn:fastcore:problem:{title.lower().replace(' ', '-')}"
    body = Problem(type=kind, title=title, status=status, detail=detail, errors=errors)
    return JSONResponse(
        body.model_dump(exclude_none=True),
        status,
        headers={"Cache-Control": "no-store", **(headers or {})},
        media_type=MEDIA_TYPE,
    )


def install(app: FastAPI) -> None:
    """Answer every error of this app as a problem."""

    @app.exception_handler(HTTPException)
    async def _http(_: Request, error: HTTPException) -> JSONResponse:
        return problem(error.status_code, str(error.detail), headers=error.headers)

    @app.exception_handler(RequestValidationError)
    async def _invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        errors = [_field(item) for item in error.errors()]
        return problem(422, "; ".join(f"{e.field} {e.message}" for e in errors), errors)

    @app.exception_handler(Unknown)
    async def _unknown(_: Request, error: Unknown) -> JSONResponse:
        return problem(404, str(error))

    @app.exception_handler(Refused)
    async def _refused(_: Request, error: Refused) -> JSONResponse:
        return problem(409, str(error))

    @app.exception_handler(RetryableError)
    async def _data(_: Request, error: RetryableError) -> JSONResponse:
        return problem(422, f"The {error.reason}.")

    @app.exception_handler(DependencyUnavailable)
    async def _away(_: Request, error: DependencyUnavailable) -> JSONResponse:
        detail = f"The {error.dependency} is away; nothing was changed. Try again in a moment."
        return problem(503, detail, headers={"Retry-After": RETRY_AFTER_SECONDS})

    @app.exception_handler(Exception)
    async def _bug(_: Request, error: Exception) -> JSONResponse:
        logger("answer").error("unexpected error", exc_info=error)
        return problem(500, "Something went wrong on our side. It was logged; nothing was changed.")


def _field(item: Mapping[str, Any]) -> FieldProblem:
    """Name the parameter and the rule that it broke; what was sent stays out."""
    kind, place = item["type"], item["loc"]
    name = str(place[1]) if len(place) > 1 else str(place[0])
    if place[0] == "body" and kind in ("extra_forbidden", "json_invalid"):
        said = "holds a field that this route does not know" if kind == "extra_forbidden" else "must be JSON"
        return FieldProblem(field="body", message=said)
    if kind == "extra_forbidden":
        # The name itself is what was sent.
        where = str(place[0])
        return FieldProblem(field=where, message="holds a parameter that this route does not know")
    if kind == "json_invalid":
        return FieldProblem(field="body", message="must be JSON")
    if kind == "uuid_parsing":
        return FieldProblem(field=name, message="must be a UUID")
    if kind.startswith("datetime"):
        return FieldProblem(field=name, message="must be a time such as 2024-01-03T10:30:45Z")
    return FieldProblem(field=name, message=str(item["msg"]).removeprefix("Value error, "))
