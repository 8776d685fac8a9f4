"""The shared parts of the OpenAPI descriptions of the gateway's responses."""

from typing import Any, Final

from runtime.http.problem_details import MEDIA_TYPE, Problem

TEXT: Final = {"type": "string"}
CORRELATION_HEADER: Final = {
    "X-Request-ID": {"description": "The request's id in the gateway's logs.", "schema": TEXT}
}
RETRY_HEADER: Final = {
    "Retry-After": {"description": "Seconds until the next attempt.", "schema": {"type": "integer"}}
}


def problem_response(
    description: str, problem: Problem, headers: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return the description of a response that reports a problem, with the problem as its example."""
    return {
        "description": description,
        "headers": {**CORRELATION_HEADER, **(headers or {})},
        "content": {
            MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}, "example": problem.members()}
        },
    }
