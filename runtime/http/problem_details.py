"""RFC 9457 problem details: the model, its JSON, and the exception handlers that answer with it.

Each service has its own catalogue of problems. A problem is a message for a person: it contains no stack
trace and never repeats the input.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any, Final, Self

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, PrivateAttr
from starlette.requests import Request
from starlette.responses import Response

MEDIA_TYPE: Final = "application/problem+json"
_TYPE_PREFIX: Final = "urn:fastcore:problem:"


class FieldProblem(BaseModel):
    """One invalid field or parameter: its name, and what is wrong with it."""

    model_config = ConfigDict(frozen=True)

    field: str
    message: str


class Problem(BaseModel):
    """The body of an error response (RFC 9457). A 422 names each invalid field or parameter in `errors`."""

    model_config = ConfigDict(frozen=True)

    type: str
    title: str
    status: int
    detail: str
    errors: tuple[FieldProblem, ...] | None = None
    _headers: Mapping[str, str] = PrivateAttr(default_factory=dict)

    @classmethod
    def build(
        cls,
        status: int,
        detail: str,
        *,
        code: str | None = None,
        errors: Iterable[FieldProblem] = (),
        headers: Mapping[str, str] | None = None,
    ) -> Self:
        """Return a problem with this status.

        The URI of the problem's type ends with `code`, or with the name of the status if there is no `code`.
        `headers` are sent with every response that reports this problem.
        """
        title = HTTPStatus(status).phrase
        kind = _TYPE_PREFIX + (code or title.lower().replace(" ", "-"))
        made = cls(type=kind, title=title, status=int(status), detail=detail, errors=tuple(errors) or None)
        made._headers = headers or {}
        return made

    @property
    def code(self) -> str:
        """The last part of the type: the problem's name in metrics and in the audit log."""
        return self.type.removeprefix(_TYPE_PREFIX)

    def members(self) -> dict[str, Any]:
        """Return the members of the JSON document. Members without a value are left out."""
        return self.model_dump(exclude_none=True)

    def to_json(self) -> bytes:
        """Return the JSON document. It ends with a line end, for people who use `curl`."""
        return json.dumps(self.members()).encode() + b"\n"

    def response(self, headers: Mapping[str, str] | None = None) -> Response:
        """Return the response that reports this problem, with these additional headers."""
        return Response(
            self.to_json(), self.status, headers={**self._headers, **(headers or {})}, media_type=MEDIA_TYPE
        )


class ProblemError(Exception):
    """A request is rejected. The response is `problem`."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.code)
        self.problem = problem


def add_exception_handlers(
    app: FastAPI, handlers: Mapping[type[Exception], Callable[[Any], Response]]
) -> None:
    """Let the app answer each type of exception with the response that its function in `handlers` returns."""
    for error_type, render in handlers.items():
        app.add_exception_handler(error_type, _handler(render))


def _handler(render: Callable[[Any], Response]) -> Callable[[Request, Exception], Any]:
    # A coroutine: Starlette would run a plain function in a thread.
    async def handle(_: Request, error: Exception) -> Response:
        return render(error)

    return handle


def closing_headers(body: bytes) -> list[tuple[bytes, bytes]]:
    """Return the headers of a problem response that is sent without calling the app.

    They include `Connection: close`, because the rest of the request is not read.
    """
    return [
        (b"content-type", MEDIA_TYPE.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
        (b"connection", b"close"),
    ]
