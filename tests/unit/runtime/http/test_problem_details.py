"""The model of RFC 9457 problems and its responses."""

import json

from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient

from runtime.http.problem_details import FieldProblem, Problem, add_exception_handlers


def test_problem_without_a_code_is_named_after_its_status() -> None:
    problem = Problem.build(404, "No such lead.")
    assert problem.members() == {
        "type": "urn:fastcore:problem:not-found",
        "title": "Not Found",
        "status": 404,
        "detail": "No such lead.",
    }
    assert problem.code == "not-found"


def test_problem_contains_its_field_errors() -> None:
    errors = [FieldProblem(field="email", message="is required")]
    problem = Problem.build(422, "Invalid.", code="invalid-lead", errors=errors)
    assert problem.code == "invalid-lead"
    assert json.loads(problem.to_json())["errors"] == [{"field": "email", "message": "is required"}]


def test_response_has_the_headers_of_the_problem_and_its_own() -> None:
    problem = Problem.build(503, "Unavailable.", headers={"Retry-After": "5"})
    response = problem.response({"X-Request-ID": "r"})
    assert response.status_code == 503
    assert response.headers["content-type"] == "application/problem+json"
    assert (response.headers["retry-after"], response.headers["x-request-id"]) == ("5", "r")
    assert response.body == problem.to_json()
    assert problem.to_json().endswith(b"}\n")


async def test_exception_handler_responds_with_the_problem() -> None:
    app = FastAPI()
    add_exception_handlers(app, {LookupError: lambda error: Problem.build(404, str(error)).response()})

    @app.get("/")
    async def fail() -> None:
        raise LookupError("missing")

    async with AsyncClient(transport=ASGITransport(app), base_url="http://localhost") as client:
        response = await client.get("/")
    assert (response.status_code, response.json()["detail"]) == (404, "missing")
