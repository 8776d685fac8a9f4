"""The embedded Kafka, PostgreSQL and mailbox can be started, killed and stopped."""

import smtplib
from email.message import EmailMessage
from pathlib import Path

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import UnknownTopicOrPartitionError

from deploy.embedded.servers.standalone import running_kafka, running_mailbox, running_postgres
from tests.support.web.plain_http import plain_client


async def _produce(bootstrap: str, topic: str, value: bytes) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True)
    await producer.start()
    try:
        await producer.send_and_wait(topic, value)
    finally:
        await producer.stop()


async def _consume(bootstrap: str, topic: str, count: int) -> list[bytes]:
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=bootstrap, group_id="readers", auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        return [(await consumer.getone()).value or b"" for _ in range(count)]
    finally:
        await consumer.stop()


async def test_kafka_keeps_its_records_through_a_kill_and_a_restart(tmp_path: Path) -> None:
    with running_kafka(tmp_path) as kafka:
        admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
        await admin.start()
        await admin.create_topics([NewTopic("things", num_partitions=1, replication_factor=1)])
        await admin.close()
        await _produce(kafka.bootstrap_servers, "things", b"before the kill")
        kafka.kill()
        assert not kafka.alive
        kafka.start()
        await _produce(kafka.bootstrap_servers, "things", b"after it")
    with running_kafka(tmp_path) as kafka:  # the same folder on another port
        records = await _consume(kafka.bootstrap_servers, "things", 2)
    assert records == [b"before the kill", b"after it"]


async def test_a_misspelt_topic_fails_instead_of_appearing(tmp_path: Path) -> None:
    with running_kafka(tmp_path) as kafka:
        admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
        await admin.start()
        try:
            described = await admin.describe_topics(["leads.recieved.v1"])
            assert described[0]["error_code"] == UnknownTopicOrPartitionError.errno
            assert "leads.recieved.v1" not in await admin.list_topics()
        finally:
            await admin.close()


async def test_postgres_has_an_owner_and_a_role_for_services_that_owns_nothing(tmp_path: Path) -> None:
    with running_postgres(tmp_path, keep=True) as postgres:
        owner = await asyncpg.connect(postgres.urls.owner)
        service = await asyncpg.connect(postgres.urls.service)
        try:
            await owner.execute("create table greeting (word text)")
            await owner.execute("insert into greeting values ('Grüße')")
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await service.execute("create table mine (word text)")
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await service.fetch("select * from greeting")
            encoding = await service.fetchval("show server_encoding")
        finally:
            await owner.close()
            await service.close()
    assert encoding == "UTF8"
    with running_postgres(tmp_path) as postgres:
        again = await asyncpg.connect(postgres.urls.owner)
        try:
            assert await again.fetchval("select word from greeting") == "Grüße"
        finally:
            await again.close()


async def test_postgres_lets_nobody_in_without_the_password(tmp_path: Path) -> None:
    with running_postgres(tmp_path) as postgres:
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(host="127.0.0.1", port=postgres.port, user="postgres", password="guess")
        assert (tmp_path / "passwords.json").stat().st_mode & 0o777 == 0o600


async def test_a_mail_is_on_disk_when_its_sender_hears_250(tmp_path: Path) -> None:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "leads@fastcore.example", "ada@example.com", "Welcome, Äda"
    mail.set_content("Hello")
    with running_mailbox(tmp_path) as mailbox:
        with smtplib.SMTP("127.0.0.1", mailbox.smtp_port, timeout=5) as client:
            client.login("any", "thing")
            client.send_message(mail)
            assert len(list((tmp_path / "mails").glob("*.eml"))) == 1
        async with plain_client(base_url=mailbox.url) as browser:
            listed = (await browser.get("/api/messages")).json()
            page = await browser.get(f"/mails/{listed[0]['id']}")
    assert listed[0]["subject"] == "Welcome, Äda"
    assert "Welcome, Äda" in page.text
