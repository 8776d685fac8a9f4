"""The environment that points services and tests to this stack, and what a given variable replaces."""

import os
from collections.abc import Mapping

from dotenv import dotenv_values

from deploy.embedded.servers.postgres import Urls
from deploy.embedded.settings import ROOT, SERVICES, Stack

#: A server that is named is used, and the embedded one is not started.
REPLACES = {
    "KAFKA_BOOTSTRAP_SERVERS": "kafka",
    "DATABASE_URL": "postgres",
    "SMTP_HOST": "mailbox",
}

#: For `deploy.cli.migrate` alone: no service may hold the owner's password.
MIGRATION_URL = "FASTCORE_MIGRATION_DATABASE_URL"

EXAMPLE_TOKENS = {
    "FASTCORE_SITE_INGEST_TOKEN": "dev-token-xyz-123",
    "FASTCORE_ADMIN_TOKEN": "dev-admin-token-xyz-123",
}


def read_given(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Answer what is set to something: the environment, then `.env`."""
    both = {**dotenv_values(ROOT / ".env"), **environ}
    return {name: value for name, value in both.items() if value}


def embedded_parts(given: Mapping[str, str]) -> list[str]:
    """Name the parts that nobody replaces."""
    return [part for variable, part in REPLACES.items() if variable not in given]


def assemble(stack: Stack, given: Mapping[str, str], database: Urls | None) -> dict[str, str]:
    """Answer the variables of the services: defaults that a given one overrides, and our servers."""
    defaults = {
        "DEBUG": "true",
        **EXAMPLE_TOKENS,
        "FASTCORE_INGEST_SPOOL_FOLDER": str(stack.folder / "spool"),
        "FROM_EMAIL": "leads@fastcore.example",
        "ADMIN_EMAIL": "admin@fastcore.example",
        "FASTCORE_ADMIN_GATEWAY_URLS": stack.url("ingest"),
        "FASTCORE_ADMIN_SERVICE_URLS": ",".join(f"{name}={stack.url(name)}" for name in SERVICES),
        "FASTCORE_FLUSHER_GATEWAY_URL": stack.url("ingest"),
    }
    made = {name: given.get(name, value) for name, value in defaults.items()}
    # The settings that go with a server go with it as a whole: a given password is not for ours.
    if "KAFKA_BOOTSTRAP_SERVERS" not in given:
        made["KAFKA_BOOTSTRAP_SERVERS"] = f"127.0.0.1:{stack.kafka_port}"
        made["KAFKA_SECURITY_PROTOCOL"] = "PLAINTEXT"
        made["FASTCORE_KAFKA_REPLICATION"] = "1"  # it is one broker
    elif "FASTCORE_KAFKA_REPLICATION" in given:
        made["FASTCORE_KAFKA_REPLICATION"] = given["FASTCORE_KAFKA_REPLICATION"]
    if "SMTP_HOST" not in given:
        made |= {"SMTP_HOST": "127.0.0.1", "SMTP_PORT": str(stack.smtp_port), "SMTP_TLS": "false"}
    if "DATABASE_URL" not in given and database:
        made |= {"DATABASE_URL": database.service, MIGRATION_URL: database.owner}
    for name in (*REPLACES, MIGRATION_URL):
        if name in given:
            made.setdefault(name, given[name])
    return made
