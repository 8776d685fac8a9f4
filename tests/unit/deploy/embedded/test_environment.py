"""The variables of the services, and which variable replaces a server."""

from pathlib import Path

import pytest

from deploy.embedded.environment import (
    EXAMPLE_TOKENS,
    MIGRATION_URL,
    build_environment,
    embedded_servers,
    read_environment,
)
from deploy.embedded.servers.postgres import DatabaseUrls
from deploy.embedded.settings import Stack

DATABASE = DatabaseUrls(
    superuser="postgresql://postgres@h/d", owner="postgresql://owner@h/d", service="postgresql://s@h/d"
)


def test_without_variables_every_server_is_embedded() -> None:
    assert embedded_servers({}) == ["kafka", "postgres", "mailbox"]


@pytest.mark.parametrize(
    ("variable", "server"),
    [("KAFKA_BOOTSTRAP_SERVERS", "kafka"), ("DATABASE_URL", "postgres"), ("SMTP_HOST", "mailbox")],
)
def test_an_external_server_replaces_its_embedded_one_only(variable: str, server: str) -> None:
    servers = embedded_servers({variable: "theirs"})
    assert server not in servers
    assert len(servers) == 2
    assert build_environment(Stack(), {variable: "theirs"}, DATABASE)[variable] == "theirs"


def test_the_defaults_are_those_of_a_developers_machine() -> None:
    environment = build_environment(Stack(), {}, DATABASE)
    assert environment["DEBUG"] == "true"
    assert EXAMPLE_TOKENS.items() <= environment.items()
    assert environment["DATABASE_URL"] == DATABASE.service
    assert environment[MIGRATION_URL] == DATABASE.owner
    assert environment["KAFKA_BOOTSTRAP_SERVERS"] == "127.0.0.1:19092"
    assert (environment["SMTP_HOST"], environment["SMTP_PORT"], environment["SMTP_TLS"]) == (
        "127.0.0.1",
        "1025",
        "false",
    )
    assert environment["FASTCORE_ADMIN_SERVICE_URLS"].startswith("ingest=http://127.0.0.1:8001,persister=")


@pytest.mark.parametrize("variable", ["FASTCORE_NOTIFIER_ADMIN_URL", "FASTCORE_WEBHOOKS_ADMIN_URL"])
def test_notifications_link_to_the_dashboard(variable: str) -> None:
    assert build_environment(Stack(), {}, DATABASE)[variable] == "http://localhost:8000/admin"
    assert build_environment(Stack(edge_port=9000), {}, DATABASE)[variable] == "http://localhost:9000/admin"
    theirs = "https://leads.example/admin"
    assert build_environment(Stack(), {variable: theirs}, DATABASE)[variable] == theirs


def test_a_changed_port_changes_every_url() -> None:
    environment = build_environment(Stack(ingest_port=18001, smtp_port=11025, kafka_port=29092), {}, DATABASE)
    assert environment["FASTCORE_ADMIN_GATEWAY_URLS"] == "http://127.0.0.1:18001"
    assert environment["FASTCORE_FLUSHER_GATEWAY_URL"] == "http://127.0.0.1:18001"
    assert "ingest=http://127.0.0.1:18001" in environment["FASTCORE_ADMIN_SERVICE_URLS"]
    assert environment["SMTP_PORT"] == "11025"
    assert environment["KAFKA_BOOTSTRAP_SERVERS"] == "127.0.0.1:29092"


def test_the_spool_is_in_the_data_folder(tmp_path: Path) -> None:
    assert build_environment(Stack(data=tmp_path), {}, DATABASE)["FASTCORE_INGEST_SPOOL_FOLDER"] == str(
        tmp_path / "spool"
    )


def test_configured_values_override_the_defaults() -> None:
    configured = {"DEBUG": "false", "FASTCORE_ADMIN_TOKEN": "ann:mine", "ADMIN_EMAIL": "a@b.example"}
    assert configured.items() <= build_environment(Stack(), configured, DATABASE).items()


def test_without_smtp_host_other_smtp_settings_are_ignored() -> None:
    environment = build_environment(Stack(), {"SMTP_PORT": "587", "SMTP_TLS": "true"}, DATABASE)
    assert (environment["SMTP_PORT"], environment["SMTP_TLS"]) == ("1025", "false")


def test_an_external_mail_server_gets_no_embedded_setting() -> None:
    environment = build_environment(Stack(), {"SMTP_HOST": "mail.example", "SMTP_PORT": "587"}, DATABASE)
    assert environment["SMTP_HOST"] == "mail.example"
    assert "SMTP_TLS" not in environment


def test_the_environment_overrides_the_file_and_empty_is_unset() -> None:
    configured = read_environment({"FASTCORE_ADMIN_TOKEN": "from-the-environment", "DATABASE_URL": ""})
    assert configured["FASTCORE_ADMIN_TOKEN"] == "from-the-environment"
    assert "DATABASE_URL" not in configured


def test_regression_an_external_servers_settings_reach_the_doctor() -> None:
    smtp = {"SMTP_HOST": "mail.example", "SMTP_PORT": "587", "SMTP_TLS": "true", "SMTP_USER": "u"}
    assert smtp.items() <= build_environment(Stack(), smtp, DATABASE).items()
    kafka = {"KAFKA_BOOTSTRAP_SERVERS": "kafka.example:9093", "KAFKA_SECURITY_PROTOCOL": "SSL"}
    assert kafka.items() <= build_environment(Stack(), kafka, DATABASE).items()
