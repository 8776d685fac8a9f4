"""What the services are told, and what a given variable replaces."""

from pathlib import Path

import pytest

from deploy.embedded.environment import EXAMPLE_TOKENS, MIGRATION_URL, assemble, embedded_parts, read_given
from deploy.embedded.errors import EmbeddedError
from deploy.embedded.servers.postgres import Urls
from deploy.embedded.settings import Stack, load

OURS = Urls(
    superuser="postgresql://postgres@h/d", owner="postgresql://owner@h/d", service="postgresql://s@h/d"
)


def test_nothing_given_means_that_every_part_is_embedded() -> None:
    assert embedded_parts({}) == ["kafka", "postgres", "mailbox"]


@pytest.mark.parametrize(
    ("variable", "part"),
    [("KAFKA_BOOTSTRAP_SERVERS", "kafka"), ("DATABASE_URL", "postgres"), ("SMTP_HOST", "mailbox")],
)
def test_a_given_server_replaces_its_part_and_no_other(variable: str, part: str) -> None:
    parts = embedded_parts({variable: "theirs"})
    assert part not in parts
    assert len(parts) == 2
    assert assemble(Stack(), {variable: "theirs"}, OURS)[variable] == "theirs"


def test_the_defaults_are_those_of_a_developers_machine() -> None:
    made = assemble(Stack(), {}, OURS)
    assert made["DEBUG"] == "true"
    assert EXAMPLE_TOKENS.items() <= made.items()
    assert made["DATABASE_URL"] == OURS.service
    assert made[MIGRATION_URL] == OURS.owner
    assert made["KAFKA_BOOTSTRAP_SERVERS"] == "127.0.0.1:19092"
    assert (made["SMTP_HOST"], made["SMTP_PORT"], made["SMTP_TLS"]) == ("127.0.0.1", "1025", "false")
    assert made["FASTCORE_ADMIN_SERVICE_URLS"].startswith("ingest=http://127.0.0.1:8001,persister=")


def test_a_moved_port_moves_in_every_url() -> None:
    made = assemble(Stack(ingest_port=18001, smtp_port=11025, kafka_port=29092), {}, OURS)
    assert made["FASTCORE_ADMIN_GATEWAY_URLS"] == "http://127.0.0.1:18001"
    assert made["FASTCORE_FLUSHER_GATEWAY_URL"] == "http://127.0.0.1:18001"
    assert "ingest=http://127.0.0.1:18001" in made["FASTCORE_ADMIN_SERVICE_URLS"]
    assert made["SMTP_PORT"] == "11025"
    assert made["KAFKA_BOOTSTRAP_SERVERS"] == "127.0.0.1:29092"


def test_the_spool_lies_in_the_data_folder_and_so_goes_with_it(tmp_path: Path) -> None:
    assert assemble(Stack(data=tmp_path), {}, OURS)["FASTCORE_INGEST_SPOOL_FOLDER"] == str(tmp_path / "spool")


def test_ones_own_settings_win_over_the_defaults() -> None:
    given = {"DEBUG": "false", "FASTCORE_ADMIN_TOKEN": "ann:mine", "ADMIN_EMAIL": "a@b.example"}
    assert given.items() <= assemble(Stack(), given, OURS).items()


def test_embedded_smtp_ignores_mail_settings_without_a_host() -> None:
    made = assemble(Stack(), {"SMTP_PORT": "587", "SMTP_TLS": "true"}, OURS)
    assert (made["SMTP_PORT"], made["SMTP_TLS"]) == ("1025", "false")


def test_a_given_mail_server_keeps_its_own_settings() -> None:
    made = assemble(Stack(), {"SMTP_HOST": "mail.example", "SMTP_PORT": "587"}, OURS)
    assert made["SMTP_HOST"] == "mail.example"
    assert "SMTP_TLS" not in made


def test_the_environment_wins_over_the_file_and_an_empty_value_is_none() -> None:
    given = read_given({"FASTCORE_ADMIN_TOKEN": "from-the-environment", "DATABASE_URL": ""})
    assert given["FASTCORE_ADMIN_TOKEN"] == "from-the-environment"
    assert "DATABASE_URL" not in given


def test_a_wrong_port_names_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTCORE_EMBEDDED_EDGE_PORT", "80x")
    with pytest.raises(EmbeddedError, match="FASTCORE_EMBEDDED_EDGE_PORT"):
        load()
