"""The error responses of the admin API: each exception is answered with a problem (RFC 9457)."""

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from runtime.failures import DependencyUnavailable, RetryableError
from runtime.http.problem_details import MEDIA_TYPE, FieldProblem, Problem, add_exception_handlers
from runtime.logs import logger
from services.admin.rules.errors import ConflictError, ForbiddenError, NotFoundError

RETRY_AFTER_SECONDS: Final = "2"


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI description of the error response for each of these statuses."""
    return {
        status: {"model": Problem, "description": HTTPStatus(status).phrase, "content": {MEDIA_TYPE: {}}}
        for status in statuses
    }


def install(app: FastAPI) -> None:
    """Install handlers that answer every exception of the app with a problem."""
    add_exception_handlers(
        app,
        {
            HTTPException: lambda error: _respond(
                error.status_code, str(error.detail), headers=error.headers
            ),
            RequestValidationError: _invalid_request,
            ForbiddenError: lambda error: _respond(403, str(error)),
            NotFoundError: lambda error: _respond(404, str(error)),
            ConflictError: lambda error: _respond(409, str(error)),
            RetryableError: lambda error: _respond(422, f"The {error.reason}."),
            DependencyUnavailable: _dependency_unavailable,
            Exception: _internal_error,
        },
    )


def _respond(
    status: int,
    detail: str,
    errors: Iterable[FieldProblem] = (),
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    problem = Problem.build(status, detail, errors=errors)
    return JSONResponse(
        problem.members(),
        status,
        headers={"Cache-Control": "no-store", **(headers or {})},
        media_type=MEDIA_TYPE,
    )


def _invalid_request(error: RequestValidationError) -> JSONResponse:
    errors = [_field_problem(item) for item in error.errors()]
    return _respond(422, "; ".join(f"{each.field} {each.message}" for each in errors), errors)


def _dependency_unavailable(error: DependencyUnavailable) -> JSONResponse:
    detail = f"The {error.dependency} is unavailable. Nothing was changed. Try again in a moment."
    return _respond(503, detail, headers={"Retry-After": RETRY_AFTER_SECONDS})


def _internal_error(error: Exception) -> JSONResponse:
    logger("answer").error("unexpected error", exc_info=error)
    return _respond(500, "Something went wrong on our side. It was logged; nothing was changed.")


def _field_problem(item: Mapping[str, Any]) -> FieldProblem:
    """Return the name of an invalid parameter and the rule that it violates, from pydantic's error `item`.

    The result does not contain the submitted value.
    """
    kind, location = item["type"], item["loc"]
    # The name of an unknown parameter is input too: name the place where it was sent.
    if kind == "extra_forbidden":
        noun = "field" if location[0] == "body" else "parameter"
        return FieldProblem(field=str(location[0]), message=f"holds a {noun} that this route does not know")
    if kind == "json_invalid":
        return FieldProblem(field="body", message="must be JSON")
    name = str(location[1] if len(location) > 1 else location[0])
    if kind == "uuid_parsing":
        return FieldProblem(field=name, message="must be a UUID")
    if kind.startswith("datetime"):
        return FieldProblem(field=name, message="must be a time such as 2024-01-03T10:30:45Z")
    return FieldProblem(field=name, message=str(item["msg"]).removeprefix("Value error, "))
