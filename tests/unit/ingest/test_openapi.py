"""The OpenAPI document describes what the gateway does."""

from typing import Any

import httpx
import pytest

from tests.support.gateway import Gateway, gateway


@pytest.fixture
async def document() -> dict[str, Any]:
    async with gateway() as ours:
        answer = await ours.client.get("/openapi.json")
        found: dict[str, Any] = answer.json()
        return found


def test_every_answer_is_described_with_its_body(document: dict[str, Any]) -> None:
    responses = document["paths"]["/inbound/leads"]["post"]["responses"]
    assert responses.keys() == {"201", "400", "401", "408", "413", "415", "422", "429", "500", "503"}
    for code, response in responses.items():
        media = "application/json" if code == "201" else "application/problem+json"
        assert response["content"].keys() == {media}


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    def references(node: Any) -> list[str]:
        if isinstance(node, dict):
            own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
            return own + [ref for value in node.values() for ref in references(value)]
        return [ref for value in node for ref in references(value)] if isinstance(node, list) else []

    found = references(document)
    assert "#/components/schemas/LeadSubmission" in found
    for reference in found:
        node = document
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]


def test_body_headers_and_token_are_described(document: dict[str, Any]) -> None:
    operation = document["paths"]["/inbound/leads"]["post"]
    assert operation["security"] == [{"token": []}]
    assert {parameter["name"] for parameter in operation["parameters"]} == {
        "Idempotency-Key",
        "X-Request-ID",
        "traceparent",
    }
    schema = document["components"]["schemas"]["LeadSubmission"]
    assert schema["required"] == ["name", "email", "service", "message"]
    assert schema["properties"]["message"]["maxLength"] == 10_000


async def test_the_examples_of_problems_are_what_is_answered() -> None:
    async with gateway() as ours:
        document = (await ours.client.get("/openapi.json")).json()
        responses = document["paths"]["/inbound/leads"]["post"]["responses"]
        answers = {"400": await ours.post_raw("{"), "415": await ours.post_raw("", {"Content-Type": "a/b"})}
        for code, answer in answers.items():
            assert answer.json() == responses[code]["content"]["application/problem+json"]["example"]


async def test_the_docs_page_is_served() -> None:
    async with gateway() as ours:
        answer: httpx.Response = await _docs(ours)
        assert answer.status_code == 200


async def _docs(ours: Gateway) -> httpx.Response:
    return await ours.client.get("/docs")


def test_a_generated_client_may_leave_out_what_is_optional(document: dict[str, Any]) -> None:
    for name in ("LeadSubmission", "Source", "Meta"):
        for field in document["components"]["schemas"][name]["properties"].values():
            assert "default" not in field  # generators take it for "always there"
