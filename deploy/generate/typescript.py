"""Generates TypeScript for websites: the types of the exchanged JSON, and the site kit's schema."""

import json
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from contracts.leads import LeadSubmission
from contracts.sites import SiteQueueEntry, SiteQueuePage

HEAD: Final = """\
/** The JSON that a website and FASTCore exchange: generated from `contracts` by `make docs`. */
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


def typescript_contract() -> str:
    """Return the TypeScript source with the types of the exchanged JSON, and the schema as a constant."""
    models: list[type[BaseModel]] = [LeadSubmission, SiteQueueEntry, SiteQueuePage]
    _, schema = models_json_schema([(model, "validation") for model in models])
    types = [_declare_type(name, definition) for name, definition in sorted(schema["$defs"].items())]
    validated = {key: value for key, value in LeadSubmission.model_json_schema().items() if key != "examples"}
    text = json.dumps(_strip_annotations(validated), indent=2)
    constant = f"export const leadSubmissionSchema = {text} as const;\n"
    return "\n".join([HEAD, *types, constant])


def _strip_annotations(schema: Any) -> Any:
    """Return the schema without titles, descriptions and defaults, which validation does not need."""
    if isinstance(schema, dict):
        return {
            key: _strip_annotations(value)
            for key, value in schema.items()
            if not (key in ("title", "description", "default") and not isinstance(value, dict))
        }
    return [_strip_annotations(each) for each in schema] if isinstance(schema, list) else schema


def _declare_type(name: str, schema: dict[str, Any]) -> str:
    if schema.get("type") != "object":
        return f"export type {name} = {_type_expression(schema)};\n"
    required = schema.get("required", [])
    fields = [
        f"  {key}{'' if key in required else '?'}: {_type_expression(field)};"
        for key, field in schema["properties"].items()
    ]
    if schema.get("additionalProperties"):
        fields.append("  [unknown: string]: unknown;")
    return "\n".join([f"export interface {name} {{", *fields, "}\n"])


def _type_expression(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "anyOf" in schema:
        return " | ".join(_type_expression(each) for each in schema["anyOf"])
    if schema.get("type") == "array":
        return f"readonly {_type_expression(schema['items'])}[]"
    return _PLAIN.get(schema.get("type", ""), "unknown")
