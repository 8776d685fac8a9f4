"""The edge: who gets which path, what is passed on, and what is said when a service is away."""

from collections.abc import AsyncIterator, Callable

import httpx
import pytest

from deploy.embedded.edge import Edge, choose_upstream, end_to_end

INGEST, ADMIN = "http://ingest:1", "http://admin:2"

Handler = Callable[[httpx.Request], httpx.Response]


def _through(handler: Handler) -> httpx.AsyncClient:
    upstream = httpx.AsyncClient(transport=httpx.MockTransport(handler))
    transport = httpx.ASGITransport(Edge(upstream, INGEST, ADMIN), client=("192.0.2.7", 1))
    return httpx.AsyncClient(transport=transport, base_url="http://localhost:8000")


def _answer(status: int, body: bytes = b"", headers: list[tuple[str, str]] | None = None) -> httpx.Response:
    async def pieces() -> AsyncIterator[bytes]:
        yield body

    return httpx.Response(status, headers=headers, content=pieces())


def _never(request: httpx.Request) -> httpx.Response:
    raise AssertionError(f"{request.url} was passed on")


@pytest.mark.parametrize("path", ["/", "/inbound/leads", "/docs", "/administrator", "/livez", "/admin.html"])
def test_what_is_not_admins_goes_to_ingest(path: str) -> None:
    assert choose_upstream(path, INGEST, ADMIN) == INGEST


@pytest.mark.parametrize("path", ["/admin", "/admin/", "/admin/docs", "/admin/leads/1", "//admin"])
def test_admin_and_all_below_it_goes_to_admin(path: str) -> None:
    assert choose_upstream(path, INGEST, ADMIN) == ADMIN


@pytest.mark.parametrize(
    "path",
    [
        "/internal",
        "/internal/status",
        "//internal/status",
        "/x/../internal/status",
        "/./internal",
        "/internal/x//../../status",
        "/internal/a/b///../../../../status",
        "/admin/../internal",
    ],
)
def test_internal_paths_are_nobodys(path: str) -> None:
    assert choose_upstream(path, INGEST, ADMIN) is None


@pytest.mark.parametrize("path", ["/internal/status", "/%69nternal/status", "//internal/status"])
async def test_an_internal_path_is_a_404_problem_and_never_passed_on(path: str) -> None:
    async with _through(_never) as client:
        answer = await client.get(httpx.URL("http://localhost:8000").copy_with(raw_path=path.encode()))
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == 404


def test_regression_blanks_behind_a_value_are_not_passed_on() -> None:
    assert end_to_end([(b"Authorization", b"Bearer "), (b"X", b" a b\t")]) == [
        (b"authorization", b"Bearer"),
        (b"x", b"a b"),
    ]


async def test_a_request_arrives_as_it_was_sent() -> None:
    seen: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return _answer(200)

    async with _through(handler) as client:
        await client.request(
            "PATCH",
            "/admin/leads/a%20b?new_status=won&x=%2F",
            headers={
                "X-Request-ID": "r-1",
                "Connection": "close, X-Hop",
                "X-Hop": "1",
                "Accept-Encoding": "br",
            },
        )
    request = seen[0]
    assert str(request.url) == f"{ADMIN}/admin/leads/a%20b?new_status=won&x=%2F"
    assert request.method == "PATCH"
    assert request.headers["host"] == "localhost:8000"
    assert request.headers["x-request-id"] == "r-1"
    assert request.headers["accept-encoding"] == "br"
    assert "x-hop" not in request.headers


async def test_the_callers_address_is_the_edges_word_not_the_callers() -> None:
    seen: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return _answer(200)

    async with _through(handler) as client:
        await client.get("/", headers={"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"})
    assert seen[0].headers.get_list("x-forwarded-for") == ["192.0.2.7"]
    assert seen[0].headers.get_list("x-forwarded-proto") == ["http"]


async def test_a_body_is_streamed_and_an_answer_passed_back_with_its_headers() -> None:
    def echo(request: httpx.Request) -> httpx.Response:
        return _answer(
            422, request.content, [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("Keep-Alive", "5")]
        )

    async def body() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"x" * 1000

    async with _through(echo) as client:
        answer = await client.post("/inbound/leads", content=body())
    assert answer.status_code == 422
    assert answer.content == b"x" * 3000
    assert answer.headers.get_list("set-cookie") == ["a=1", "b=2"]
    assert "keep-alive" not in answer.headers


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (httpx.ConnectError("refused"), 503),
        (httpx.ReadTimeout("slow"), 504),
        (httpx.RemoteProtocolError("broke off"), 502),
        (httpx.ReadError("reset"), 502),
    ],
)
async def test_a_service_that_is_away_is_a_problem_to_retry(error: Exception, status: int) -> None:
    def handler(_: httpx.Request) -> httpx.Response:
        raise error

    async with _through(handler) as client:
        answer = await client.post("/inbound/leads", content=b"{}")
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["retry-after"] == "1"


def test_headers_for_the_next_hop_only_are_left_out() -> None:
    headers = [(b"Connection", b"close, X-Mine"), (b"X-Mine", b"1"), (b"TE", b"trailers"), (b"Date", b"now")]
    assert end_to_end(headers) == [(b"date", b"now")]
