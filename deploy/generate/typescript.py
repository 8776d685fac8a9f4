"""The contract of a website in TypeScript: its types, and the schema that the site kit validates with."""

import json
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from contracts.leads import LeadSubmission
from contracts.sites import SiteQueueEntry, SiteQueuePage

HEAD: Final = """\
/** What FASTCore takes from a website, and asks of it: generated from `contracts` by `make docs`. */
"""
_PLAIN: Final = {
    "string": "string",
    "integer": "number",
    "number": "number",
    "boolean": "boolean",
    "null": "null",
}


def submission_schema() -> str:
    """Return the JSON Schema of the body of `POST /inbound/leads`, for clients in any language."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **LeadSubmission.model_json_schema()}
    return json.dumps(schema, indent=2) + "\n"


def contract() -> str:
    """Return the types of what is exchanged, and the schema as a constant."""
    models: list[type[BaseModel]] = [LeadSubmission, SiteQueueEntry, SiteQueuePage]
    _, schema = models_json_schema([(model, "validation") for model in models])
    types = [_type(name, found) for name, found in sorted(schema["$defs"].items())]
    validated = {key: value for key, value in LeadSubmission.model_json_schema().items() if key != "examples"}
    constant = f"export const leadSubmissionSchema = {json.dumps(_bare(validated), indent=2)} as const;\n"
    return "\n".join([HEAD, *types, constant])


def _bare(schema: Any) -> Any:
    """Leave out what is only for people: a site need not carry it."""
    if isinstance(schema, dict):
        return {
            key: _bare(value)
            for key, value in schema.items()
            if not (key in ("title", "description", "default") and not isinstance(value, dict))
        }
    return [_bare(each) for each in schema] if isinstance(schema, list) else schema


def _type(name: str, schema: dict[str, Any]) -> str:
    if schema.get("type") != "object":
        return f"export type {name} = {_expression(schema)};\n"
    required = schema.get("required", [])
    fields = [
        f"  {key}{'' if key in required else '?'}: {_expression(field)};"
        for key, field in schema["properties"].items()
    ]
    if schema.get("additionalProperties"):
        fields.append("  [unknown: string]: unknown;")
    return "\n".join([f"export interface {name} {{", *fields, "}\n"])


def _expression(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "anyOf" in schema:
        return " | ".join(_expression(each) for each in schema["anyOf"])
    if schema.get("type") == "array":
        return f"readonly {_expression(schema['items'])}[]"
    return _PLAIN.get(schema.get("type", ""), "unknown")
