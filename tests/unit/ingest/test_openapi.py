"""The OpenAPI document describes the real behaviour of the gateway."""

import hashlib
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.services.gateway import Gateway, run_gateway

FORM_KEY = "studio-4k7w9q2m"
HOOK_KEY = "a-hook-key-of-the-studio-1234567890"
SITES = f"""
[sites.studio]
form_key = "{FORM_KEY}"
hook_keys = ["sha256:{hashlib.sha256(HOOK_KEY.encode()).hexdigest()}"]
origins = ["https://studio.example"]
"""


@pytest.fixture
async def document() -> dict[str, Any]:
    async with run_gateway() as gateway:
        answer = await gateway.client.get("/openapi.json")
        found: dict[str, Any] = answer.json()
        return found


def test_openapi_describes_every_response_with_its_body(document: dict[str, Any]) -> None:
    responses = document["paths"]["/inbound/leads"]["post"]["responses"]
    assert responses.keys() == {"201", "400", "401", "408", "413", "415", "422", "429", "500", "503"}
    for code, response in responses.items():
        media = "application/json" if code == "201" else "application/problem+json"
        assert response["content"].keys() == {media}


def test_openapi_references_resolve(document: dict[str, Any]) -> None:
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


def test_openapi_describes_body_headers_and_token(document: dict[str, Any]) -> None:
    operation = document["paths"]["/inbound/leads"]["post"]
    assert operation["security"] == [{"token": []}]
    assert {parameter["name"] for parameter in operation["parameters"]} == {
        "Idempotency-Key",
        "X-Request-ID",
        "traceparent",
    }
    schema = document["components"]["schemas"]["LeadSubmission"]
    assert "required" not in schema
    assert schema["properties"]["message"]["maxLength"] == 10_000


async def test_openapi_examples_equal_the_real_problems() -> None:
    async with run_gateway() as gateway:
        document = (await gateway.client.get("/openapi.json")).json()
        responses = document["paths"]["/inbound/leads"]["post"]["responses"]
        answers = {
            "400": await gateway.post_raw("{"),
            "415": await gateway.post_raw("", {"Content-Type": "a/b"}),
        }
        for code, answer in answers.items():
            assert answer.json() == responses[code]["content"]["application/problem+json"]["example"]


@pytest.mark.parametrize("path", ["/inbound/forms/{form_key}", "/inbound/hooks/{hook_key}"])
async def test_regression_refused_bodies_of_forms_are_described(path: str, tmp_path: Path) -> None:
    (tmp_path / "sites.toml").write_text(SITES)
    async with run_gateway(tmp_path / "sites.toml") as gateway:
        document = (await gateway.client.get("/openapi.json")).json()
        responses = document["paths"][path]["post"]["responses"]
        url = path.format(form_key=FORM_KEY, hook_key=HOOK_KEY)
        for code, media_type in (("400", "application/json"), ("415", "a/b")):
            headers = {"Origin": "https://studio.example", "Content-Type": media_type}
            answer = await gateway.client.post(url, content=b"[null]", headers=headers)
            assert str(answer.status_code) == code
            assert answer.json() == responses[code]["content"]["application/problem+json"]["example"]


async def test_docs_page_is_served() -> None:
    async with run_gateway() as gateway:
        answer: httpx.Response = await _docs(gateway)
        assert answer.status_code == 200


async def _docs(gateway: Gateway) -> httpx.Response:
    return await gateway.client.get("/docs")


def test_openapi_gives_optional_fields_no_default(document: dict[str, Any]) -> None:
    for name in ("LeadSubmission", "Source", "Meta"):
        for field in document["components"]["schemas"][name]["properties"].values():
            assert "default" not in field  # generators would treat the field as always present
