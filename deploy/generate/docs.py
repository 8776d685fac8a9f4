"""`python -m deploy.generate.docs [--check]`: write or check the generated documents.

| document | source |
|---|---|
| docs/openapi/*.json | the apps |
| docs/asyncapi.json | the topics |
| docs/events/v1.json | the events that destinations receive |
| docs/metrics.md | the metrics |
| docs/reasons.md | the reasons for failures |
| .env.example, compose's lists of settings | the Settings classes |
| the site kit's types and schema | the contracts |
| the chart's alerts | Prometheus' alerts |
| the chart's README.md, values.schema.json, _variables.tpl | its values.yaml, the Settings classes |
"""

import importlib
import json
import string
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from faststream.kafka import KafkaBroker
from faststream.specification import AsyncAPI
from pydantic import BaseModel, SecretStr
from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings

from contracts import topics
from contracts.audit import LeadRejected
from contracts.event_bodies import event_schema
from contracts.lead_events import LeadChanged
from contracts.leads import LeadReceived
from contracts.mail_events import MailEvent
from deploy.generate.chart_values import CHART, chart_readme, known_variables, values_schema
from deploy.generate.compose_environment import environment_files
from deploy.generate.files import ROOT, write_files
from deploy.generate.metrics_doc import metrics_document
from deploy.generate.reasons_doc import reasons_table
from deploy.generate.typescript import submission_schema, typescript_contract
from deploy.settings import DoctorSettings, MigrationSettings, ReplicationSettings
from runtime.settings import Http, Kafka, Log, Postgres, SitesFile, Tracing, is_section, variable_name
from services.ingest.settings import Settings as Ingest
from services.roles import PORTS, Roles

VALUES: dict[str, type[BaseModel]] = {
    "leads.received.v1": LeadReceived,
    "leads.changed.v1": LeadChanged,
    "audit.recorded.v1": LeadRejected,
    "mail.events.v1": MailEvent,
}
HEAD = """\
# Every setting of FASTCore with its default: generated from the Settings classes by `make docs`.
# Copy it to .env, and uncomment and change what you need. A "Required" setting has no default in
# production; `make up` sets it for you. The environment overrides .env. A name ends with its unit.
"""


def settings_of(service: str) -> type[BaseSettings]:
    """Return a service's settings class."""
    settings: type[BaseSettings] = importlib.import_module(f"services.{service}.settings").Settings
    return settings


def env_lines(settings: type[BaseSettings], seen: set[str]) -> Iterator[str]:
    """Yield the lines of `.env.example` for a settings class.

    Leaves out the variables that are in `seen`, and adds the others to `seen`.
    """
    for name, field in settings.model_fields.items():
        key = variable_name(settings, name, field)
        if is_section(field) or key in seen:
            continue
        seen.add(key)
        if not field.description:
            sys.exit(f"{settings.__name__}.{name}: describe it in a docstring under the field")
        required = field.default is PydanticUndefined and field.default_factory is None
        yield f"# {'Required. ' if required else ''}{' '.join((field.description or '').split())}"
        default = field.get_default(call_default_factory=True) if not required else None
        if isinstance(default, SecretStr):
            default = default.get_secret_value()
        empty = default is None or default in ((), {})
        value = (field.examples or [""])[0] if empty else default
        value = str(value).lower() if isinstance(value, bool) else value
        yield f"#{key}={value}"


def env_example() -> str:
    """Return the text of `.env.example`: the shared sections first, then those of each service."""
    seen = set[str]()
    parts = [HEAD]
    sections: list[tuple[str, type[BaseSettings]]] = [
        ("Kafka", Kafka),
        ("Topics", ReplicationSettings),
        ("PostgreSQL", Postgres),
        ("Migrations", MigrationSettings),
        ("Logs", Log),
        ("Traces", Tracing),
        ("Listening", Http),
        ("Roles", Roles),
        ("Sites", SitesFile),
        *((service, settings_of(service)) for service in PORTS),
        ("Doctor", DoctorSettings),
    ]
    for title, settings in sections:
        for field in settings.model_fields.values():
            if is_section(field) and field.annotation not in (Kafka, Postgres, Log, SitesFile, Tracing):
                inner: Any = field.annotation
                parts.append("\n".join(env_lines(inner, seen)))
        if lines := list(env_lines(settings, seen)):
            parts.append("\n".join([f"# --- {title} " + "-" * (90 - len(title)), *lines]))
    return "\n\n".join(part for part in parts if part) + "\n"


def asyncapi() -> str:
    """Return the AsyncAPI document that FastStream generates: every topic, its producers and consumers."""
    broker = KafkaBroker("kafka:9092")
    for topic in topics.ALL:
        value: Any = VALUES.get(topic.name, bytes)
        for service in topic.producers:
            broker.publisher(topic.name, schema=value, title=f"{service} sends {topic.name}")
        for service in topic.consumers:

            async def receive(message: Any) -> None: ...

            receive.__annotations__["message"] = value
            broker.subscriber(
                topic.name, group_id=topics.GROUPS[service], title=f"{service} receives {topic.name}"
            )(receive)
    specification = AsyncAPI(
        broker,
        title="FASTCore",
        version="1",
        description=(
            "The key is the lead's id; in the audit topic, the id of the request, or of the entry if there is"
            " no lead. On failed, retry and dead topics the value is the original bytes; the headers that"
            " contracts/headers.py names describe the failure."
        ),
    )
    return json.dumps(specification.to_specification().to_jsonable(), indent=2, sort_keys=True) + "\n"


def example_settings(settings: type[BaseSettings]) -> dict[str, Any]:
    """Return example values by name: one for each required field, and one for each section."""
    filled: dict[str, Any] = {}
    for name, field in settings.model_fields.items():
        if is_section(field):
            inner: Any = field.annotation
            filled[name] = inner.model_validate(example_settings(inner))
        elif field.default is PydanticUndefined and field.default_factory is None:
            filled[name] = (field.examples or [string.ascii_letters])[0]  # a valid token
    if settings is Ingest:  # it needs a token or a sites file, so pydantic requires neither
        filled["site_tokens"] = string.ascii_letters
    return filled


def openapi(service: str) -> str:
    """Return a service's OpenAPI document. The app is created without connecting to anything."""
    settings = settings_of(service)
    example = settings.model_validate(example_settings(settings))
    app = importlib.import_module(f"services.{service}.app").create_app(example)
    return json.dumps(app.openapi(), indent=2, sort_keys=True) + "\n"


def documents() -> dict[Path, str]:
    """Return the text of every generated document, by the path of its file."""
    alerts = (ROOT / "deploy/prometheus/alerts.yml").read_text(encoding="utf-8")
    return {
        ROOT / ".env.example": env_example(),
        ROOT / "docs/asyncapi.json": asyncapi(),
        ROOT / "docs/events/v1.json": json.dumps(event_schema(), indent=2) + "\n",
        ROOT / "docs/metrics.md": metrics_document(),
        ROOT / "docs/reasons.md": reasons_table(),
        CHART / "alerts.yaml": alerts,
        CHART / "README.md": chart_readme(),
        CHART / "values.schema.json": values_schema(),
        CHART / "templates/_variables.tpl": known_variables(),
        ROOT / "docs/openapi/ingest.json": openapi("ingest"),
        ROOT / "docs/openapi/admin.json": openapi("admin"),
        ROOT / "site/kit/schema/lead-submission.json": submission_schema(),
        ROOT / "site/kit/src/contract.ts": typescript_contract(),
        **environment_files(),
    }


def main(
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing. Fail if a file is out of date.")
    ] = False,
) -> None:
    """Generate all documents from the code. With --check, exit with 1 if one is out of date."""
    write_files(documents(), check=check, target="docs")


if __name__ == "__main__":
    typer.run(main)
