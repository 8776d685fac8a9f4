"""The variables that point services and tests at the embedded stack, or at external servers instead."""

import os
from collections.abc import Mapping

from dotenv import dotenv_values

from deploy.embedded.errors import EmbeddedError
from deploy.embedded.servers.postgres import DatabaseUrls
from deploy.embedded.settings import ROOT, SERVICES, Stack
from services.roles import parse_roles

#: If the variable names an external server, the embedded one does not start.
REPLACES = {
    "KAFKA_BOOTSTRAP_SERVERS": "kafka",
    "DATABASE_URL": "postgres",
    "SMTP_HOST": "mailbox",
}

#: The other settings of an external server. They do not apply to the embedded one.
SERVER_SETTINGS = {
    "KAFKA_BOOTSTRAP_SERVERS": (
        "KAFKA_SECURITY_PROTOCOL",
        "KAFKA_SASL_MECHANISM",
        "KAFKA_SASL_USERNAME",
        "KAFKA_SASL_PASSWORD",
        "KAFKA_SSL_CA_FILE",
        "FASTCORE_KAFKA_REPLICATION",
    ),
    "SMTP_HOST": ("SMTP_PORT", "SMTP_USER", "SMTP_PASSWORD", "SMTP_TLS"),
}

#: For `deploy.cli.migrate` only: no service may have the owner's password.
MIGRATION_URL = "FASTCORE_MIGRATION_DATABASE_URL"

EXAMPLE_TOKENS = {
    "FASTCORE_SITE_INGEST_TOKEN": "dev-token-xyz-123",
    "FASTCORE_ADMIN_TOKEN": "dev-admin-token-xyz-123",
    "FASTCORE_CANARY_SECRET": "dev-canary-secret-that-is-only-for-this-machine",
}


def read_environment(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the variables that have a value. A variable of the environment overrides the one in `.env`."""
    both = {**dotenv_values(ROOT / ".env"), **environ}
    return {name: value for name, value in both.items() if value}


def embedded_servers(configured: Mapping[str, str]) -> list[str]:
    """Return the embedded servers to start: those for which `configured` names no external server."""
    return [server for variable, server in REPLACES.items() if variable not in configured]


def read_roles(configured: Mapping[str, str]) -> tuple[str, ...]:
    """Return the services that share one process (FASTCORE_ROLES). Raises `EmbeddedError`."""
    try:
        return parse_roles(configured.get("FASTCORE_ROLES", ""))
    except ValueError as error:
        raise EmbeddedError(f"FASTCORE_ROLES: {error}") from None


def build_environment(
    stack: Stack, configured: Mapping[str, str], database: DatabaseUrls | None
) -> dict[str, str]:
    """Return the services' variables. Variables that are not in `configured` get defaults for development.

    `database` has the URLs of the embedded PostgreSQL. Pass None if DATABASE_URL names an external one.
    """
    admin_url = f"http://localhost:{stack.edge_port}/admin"
    defaults = {
        "DEBUG": "true",
        **EXAMPLE_TOKENS,
        "FASTCORE_INGEST_SPOOL_FOLDER": str(stack.folder / "spool"),
        "FROM_EMAIL": "leads@fastcore.example",
        "ADMIN_EMAIL": "admin@fastcore.example",
        "FASTCORE_ADMIN_GATEWAY_URLS": stack.url("ingest"),
        "FASTCORE_ADMIN_SERVICE_URLS": ",".join(f"{name}={stack.url(name)}" for name in SERVICES),
        "FASTCORE_FLUSHER_GATEWAY_URL": stack.url("ingest"),
        "FASTCORE_NOTIFIER_ADMIN_URL": admin_url,
        "FASTCORE_WEBHOOKS_ADMIN_URL": admin_url,
    }
    environment = {name: configured.get(name, value) for name, value in defaults.items()}
    for variable, others in SERVER_SETTINGS.items():
        if variable in configured:
            environment |= {name: configured[name] for name in others if name in configured}
    if "KAFKA_BOOTSTRAP_SERVERS" not in configured:
        environment |= {
            "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{stack.kafka_port}",
            "KAFKA_SECURITY_PROTOCOL": "PLAINTEXT",
            "FASTCORE_KAFKA_REPLICATION": "1",  # the embedded Kafka is one broker
        }
    if "SMTP_HOST" not in configured:
        environment |= {"SMTP_HOST": "127.0.0.1", "SMTP_PORT": str(stack.smtp_port), "SMTP_TLS": "false"}
    if "DATABASE_URL" not in configured and database:
        environment |= {"DATABASE_URL": database.service, MIGRATION_URL: database.owner}
    for name in (*REPLACES, MIGRATION_URL):
        if name in configured:
            environment.setdefault(name, configured[name])
    return environment
