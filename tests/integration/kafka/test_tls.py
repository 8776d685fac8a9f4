"""Kafka over SASL and TLS, and PostgreSQL over verified TLS, as managed services require."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest

from contracts import topics
from deploy.cli.migrate import migrate
from deploy.cli.topics import provision
from deploy.embedded.servers.postgres import DatabaseUrls
from runtime.database.postgres import open_pool, transaction
from runtime.failures import DependencyUnavailable
from runtime.health import Health
from runtime.kafka.publisher import open_publisher
from runtime.settings import Kafka, Postgres
from tests.support.services.processes import ROOT, processes
from tests.support.tls import PASSWORD, new_authority, running_tls_kafka, running_tls_postgres, with_query
from tests.support.wait import eventually
from tests.support.web.plain_http import plain_client

NOT_TRUSTED = "certificate is not from our authority, or for another name"
SITE_TOKEN = "a-token-of-a-website-1234567890"


@dataclass(frozen=True)
class Managed:
    """Kafka and PostgreSQL with TLS, their CA file, and the file of another CA."""

    kafka: Kafka
    postgres: DatabaseUrls
    authority: Path
    stranger: Path

    def url(self, url: str, **query: str) -> str:
        return with_query(url, **{"sslmode": "verify-full", "sslrootcert": str(self.authority)} | query)

    def environment(self, **changes: str) -> dict[str, str]:
        """Return the environment variables of a production installation."""
        return {
            "DEBUG": "false",
            "KAFKA_BOOTSTRAP_SERVERS": self.kafka.bootstrap_servers,
            "FASTCORE_KAFKA_REPLICATION": "1",
            "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
            "KAFKA_SASL_USERNAME": self.kafka.sasl_username or "",
            "KAFKA_SASL_PASSWORD": PASSWORD,
            "KAFKA_SSL_CA_FILE": str(self.authority),
            "DATABASE_URL": self.url(self.postgres.service).replace("postgresql://", "postgres://"),
            "FASTCORE_SITE_INGEST_TOKEN": SITE_TOKEN,
        } | changes


@pytest.fixture(scope="module")
def managed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Managed]:
    folder = tmp_path_factory.mktemp("managed")
    authority, stranger = new_authority(folder), new_authority(folder, "stranger")
    with (
        running_tls_kafka(folder, authority) as kafka,
        running_tls_postgres(folder, authority) as postgres,
    ):
        yield Managed(kafka, postgres, authority.file, stranger.file)


def command(managed: Managed, name: str, **changes: str) -> subprocess.CompletedProcess[str]:
    environment = managed.environment(
        FASTCORE_MIGRATION_DATABASE_URL=managed.url(managed.postgres.owner), **changes
    )
    return subprocess.run(
        [sys.executable, "-m", name], cwd=ROOT, env=environment, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip


def kafka_of(managed: Managed, **changes: str) -> Kafka:
    given = managed.kafka.model_dump() | {"sasl_password": PASSWORD} | changes
    return Kafka.model_validate(given)


async def test_lead_end_to_end_over_tls_with_logins(managed: Managed, tmp_path: Path) -> None:
    for name in ("deploy.cli.migrate", "deploy.cli.topics"):
        done = await asyncio.to_thread(command, managed, name)
        assert done.returncode == 0, done.stderr
    with processes(tmp_path, managed.environment(), "ingest", "persister") as started:
        await started["ingest"].ready()
        await started["persister"].ready()
        async with plain_client() as client:
            answer = await client.post(
                f"{started['ingest'].url}/inbound/leads",
                content=(ROOT / "lead.json").read_bytes(),
                headers={"Authorization": f"Bearer {SITE_TOKEN}"},
            )
        assert answer.status_code == 201
        connection = await asyncpg.connect(managed.url(managed.postgres.superuser))
        stored = await eventually(lambda: connection.fetchval("SELECT id FROM lead_inbox"), what="the lead")
        assert str(stored) == answer.json()["leadId"]
        await connection.close()
        for service in started.values():
            assert PASSWORD not in service.log.read_text()


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
async def test_publish_with_each_sasl_mechanism(managed: Managed, mechanism: str) -> None:
    kafka = kafka_of(managed, sasl_mechanism=mechanism)
    await provision(kafka)
    async with open_publisher(kafka, "test", Health()) as publisher:
        await publisher.send(topics.AUDIT.name, key=b"key", value=b"{}", headers=[], seconds=15)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"sasl_password": "not-the-password"}, "kafka refused our login"),
        ({"sasl_password": "not-the-password", "sasl_mechanism": "PLAIN"}, "kafka refused our login"),
        ({"ssl_ca_file": "stranger"}, f"kafka's {NOT_TRUSTED}"),
        ({"bootstrap_servers": "127.0.0.1"}, f"kafka's {NOT_TRUSTED}"),
    ],
    ids=["password", "password of PLAIN", "authority", "name"],
)  # fmt: skip
async def test_untrusted_kafka_connection_reports_reason(
    managed: Managed, changes: dict[str, str], reason: str
) -> None:
    if "ssl_ca_file" in changes:
        changes = {"ssl_ca_file": str(managed.stranger)}
    if "bootstrap_servers" in changes:  # the same broker under a name that its certificate does not have
        changes = {"bootstrap_servers": managed.kafka.bootstrap_servers.replace("localhost", "127.0.0.1")}
    health = Health()

    async def probe() -> str:
        await health.refresh()
        return health.parts["kafka_producer"].reason

    async with open_publisher(kafka_of(managed, **changes), "test", health):
        await eventually(probe, until=lambda said: said == reason, what=reason)


@pytest.mark.parametrize(
    ("host", "query", "password", "reason"),
    [
        ("localhost", {}, "not-the-password", "database answered 28P01"),
        ("localhost", {"sslrootcert": "stranger"}, None, f"database's {NOT_TRUSTED}"),
        ("127.0.0.1", {}, None, f"database's {NOT_TRUSTED}"),
    ],
    ids=["password", "authority", "name"],
)  # fmt: skip
async def test_untrusted_postgres_connection_reports_reason(
    managed: Managed, host: str, query: dict[str, str], password: str | None, reason: str
) -> None:
    known = managed.postgres.service
    url = managed.url(known, **{name: str(managed.stranger) for name in query}).replace(
        "@localhost", f"@{host}"
    )
    if password:
        url = url.replace(known.split(":")[2].split("@")[0], password)
    async with open_pool(Postgres.model_validate({"url": url}), "test") as pool:
        with pytest.raises(DependencyUnavailable) as caught:
            async with transaction(pool):
                pass
    assert caught.value.reason == reason


async def test_connection_without_tls_is_rejected(managed: Managed) -> None:
    with pytest.raises((OSError, asyncpg.PostgresError)):
        await asyncpg.connect(managed.url(managed.postgres.service, sslmode="disable"))


async def test_verify_ca_does_not_check_host_name(managed: Managed) -> None:
    url = managed.url(managed.postgres.service, sslmode="verify-ca").replace("@localhost", "@127.0.0.1")
    async with open_pool(Postgres.model_validate({"url": url}), "test") as pool, transaction(pool):
        pass


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("deploy.cli.topics", {"KAFKA_SASL_PASSWORD": "not-the-password"}, "kafka refused our login"),
        ("deploy.cli.topics", {"KAFKA_SASL_PASSWORD": ""}, "KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD"),
        ("deploy.cli.topics", {"KAFKA_SSL_CA_FILE": "/not/there.pem"}, "KAFKA_SSL_CA_FILE"),
        ("deploy.cli.migrate", {"FASTCORE_MIGRATION_DATABASE_URL": "stranger"}, "or for another name"),
        ("services", {"KAFKA_SASL_USERNAME": ""}, "KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD"),
    ],
)  # fmt: skip
def test_invalid_setting_exits_without_showing_secret(
    managed: Managed, name: str, changes: dict[str, str], words: str
) -> None:
    if "FASTCORE_MIGRATION_DATABASE_URL" in changes:
        changes = {
            "FASTCORE_MIGRATION_DATABASE_URL": managed.url(
                managed.postgres.owner, sslrootcert=str(managed.stranger)
            )
        }
    environment = managed.environment(FASTCORE_MIGRATION_DATABASE_URL=managed.url(managed.postgres.owner))
    arguments = [name, "persister"] if name == "services" else [name]
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=ROOT, env=environment | changes, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert words in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    owner = managed.postgres.owner.split(":")[2].split("@")[0]
    for secret in (PASSWORD, "not-the-password", owner):
        assert secret not in done.stdout + done.stderr


async def test_owner_migrates_without_superuser_if_services_role_exists(
    managed: Managed,
) -> None:
    await migrate(managed.url(managed.postgres.owner), managed.url(managed.postgres.service))
    owner = await asyncpg.connect(managed.url(managed.postgres.owner))
    rights = await owner.fetchrow(
        "SELECT rolsuper, rolcreaterole, rolcreatedb FROM pg_roles WHERE rolname = current_user"
    )
    await owner.close()
    assert rights is not None
    assert not any(rights.values())
    service = await asyncpg.connect(managed.url(managed.postgres.service))
    assert await service.fetchval("SELECT count(*) FROM audit_log") >= 0
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await service.execute("DELETE FROM audit_log")
    await service.close()
