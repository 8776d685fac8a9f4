"""`python -m tests.contract.public_names`: write the public names to public_names.json.

Routes, JSON fields, topics, headers, settings, metrics, audit events and columns are a promise. A rename
inside the code must not change them. Run this only where a public name was added on purpose.
"""

import asyncio
import importlib
import json
import re
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import asyncpg

from contracts import headers, topics
from contracts.audit import AuditEvent
from contracts.event_bodies import event_schema
from deploy.cli.migrate import migrate
from deploy.embedded.servers.standalone import running_postgres
from deploy.generate.docs import env_example, example_settings, openapi, settings_of
from deploy.generate.metrics_doc import entries, exported

PINNED: Final = Path(__file__).with_name("public_names.json")
DOCUMENTED: Final = ("ingest", "admin")
_METHODS: Final = {"get", "post", "put", "patch", "delete"}


def public_names() -> dict[str, list[str]]:
    """Return every public name of the code, by its kind, sorted."""
    documents = [json.loads(openapi(name)) for name in DOCUMENTED]
    constants = {name: value for name, value in vars(headers).items() if name.isupper()}
    return {
        "routes": sorted({route for service in DOCUMENTED for route in _routes(service)}),
        "fields": sorted({field for document in documents for field in _fields(document)}),
        "topics": sorted(topic.name for topic in topics.ALL),
        "groups": sorted(topics.GROUPS.values()),
        "headers": sorted(value for value in constants.values() if isinstance(value, str)),
        "settings": sorted(re.findall(r"^#([A-Z][A-Z0-9_]+)=", env_example(), re.MULTILINE)),
        "metrics": sorted(f"{exported(each)}{{{','.join(each._labelnames)}}}" for _, each, _ in entries()),
        "audit events": sorted(AuditEvent),
        "event fields": sorted(event_fields(event_schema())),
    }


def event_fields(schema: dict[str, Any]) -> set[str]:
    """Return `type: field kind` of each field of each event in the schema of the events."""
    definitions = schema["$defs"]

    def kind(field: dict[str, Any]) -> str:
        if "anyOf" in field:
            return " or ".join(sorted(kind(each) for each in field["anyOf"]))
        return str(field.get("$ref", field.get("format", field.get("type", "any")))).rpartition("/")[2]

    fields = set[str]()
    for name, reference in schema["discriminator"]["mapping"].items():
        event = definitions[reference.rpartition("/")[2]]
        data = definitions[event["properties"]["data"]["$ref"].rpartition("/")[2]]
        fields |= {f"{name}: {key}" for key in event["required"]}
        fields |= {
            f"{name}: data.{key} {kind(field)}"
            for key, field in data["properties"].items()
            if key in data["required"]
        }
    return fields


async def tables(connection: "asyncpg.Connection[asyncpg.Record]") -> list[str]:
    """Return `table.column type` of every table and view of the schema, without partitions."""
    rows = await connection.fetch(
        "SELECT table_name, column_name, data_type FROM information_schema.columns"
        " WHERE table_schema = 'public'"
        " AND table_name NOT IN (SELECT relname FROM pg_class WHERE relispartition)"
    )
    return sorted(f"{row['table_name']}.{row['column_name']} {row['data_type']}" for row in rows)


def _routes(service: str) -> set[str]:
    settings = settings_of(service)
    app = importlib.import_module(f"services.{service}.app").create_app(
        settings.model_validate(example_settings(settings))
    )
    documented: dict[str, dict[str, Any]] = app.openapi()["paths"]
    return {
        *(f"{service}: {each}" for each in _listed(getattr(app, "api", app).routes)),
        *(
            f"{service}: {method.upper()} {path}"
            for path, operations in documented.items()
            for method in operations.keys() & _METHODS
        ),
    }


def _listed(routes: Iterable[Any]) -> Iterator[str]:
    """Yield each route, also those that the OpenAPI document leaves out: the dashboard's."""
    for route in routes:
        if included := getattr(route, "effective_candidates", None):
            yield from _listed(included())
        else:
            for method in sorted((getattr(route, "methods", None) or {"*"}) - {"HEAD"}):
                yield f"{method} {route.path}"


def _fields(document: dict[str, Any]) -> set[str]:
    schemas: dict[str, Any] = document["components"]["schemas"]
    return {name for schema in schemas.values() for name in schema.get("properties", {})}


async def _migrated_tables() -> list[str]:
    with tempfile.TemporaryDirectory() as folder, running_postgres(Path(folder)) as server:
        await migrate(server.urls.owner, server.urls.service)
        connection = await asyncpg.connect(server.urls.owner)
        try:
            return await tables(connection)
        finally:
            await connection.close()


if __name__ == "__main__":
    names = {**public_names(), "columns": asyncio.run(_migrated_tables())}
    PINNED.write_text(json.dumps(names, indent=1) + "\n", encoding="utf-8")
