"""Kafka and PostgreSQL as managed services offer them: TLS by an authority of the test's own, and logins."""

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode, urlsplit, urlunsplit

import trustme
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from deploy.embedded.servers.postgres import DatabaseUrls
from deploy.embedded.servers.standalone import Kafka as Broker
from deploy.embedded.servers.standalone import free_ports, running_postgres
from runtime.settings import Kafka

SSL_REQUEST = (8).to_bytes(4) + (80877103).to_bytes(4)
USER, PASSWORD = "fastcore", "the-password-of-kafka"

_JAAS = "org.apache.kafka.common.security"
# What a managed service has: TLS and a login, and no way in without both. PLAINTEXT is the test's own.
_LISTENERS = f"""
listeners=PLAINTEXT://127.0.0.1:{{plain}},CONTROLLER://127.0.0.1:{{controller}},SASL_SSL://127.0.0.1:{{tls}}
advertised.listeners=PLAINTEXT://127.0.0.1:{{plain}},SASL_SSL://localhost:{{tls}}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL
ssl.keystore.type=PEM
ssl.keystore.location={{keystore}}
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
listener.name.sasl_ssl.plain.sasl.jaas.config={_JAAS}.plain.PlainLoginModule required \\
  user_{USER}="{PASSWORD}";
listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config={_JAAS}.scram.ScramLoginModule required;
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config={_JAAS}.scram.ScramLoginModule required;
"""


@dataclass(frozen=True)
class Authority:
    """An authority that signs certificates for `localhost` only."""

    ca: trustme.CA
    file: Path

    def issue(self) -> tuple[bytes, bytes]:
        """A key (PKCS 8, as Java wants it) and its chain."""
        issued = self.ca.issue_cert("localhost")
        key = load_pem_private_key(issued.private_key_pem.bytes(), password=None)
        chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
        return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), chain


def new_authority(folder: Path, name: str = "authority") -> Authority:
    ca, file = trustme.CA(), folder / f"{name}.pem"
    ca.cert_pem.write_to_path(str(file))
    return Authority(ca, file)


@contextlib.contextmanager
def running_tls_kafka(folder: Path, authority: Authority) -> Iterator[Kafka]:
    """A broker that lets USER in over SASL_SSL; the settings that a service needs for it, SCRAM-SHA-512."""
    plain, controller, tls = free_ports(3)
    keystore = folder / "kafka-keystore.pem"
    keystore.write_bytes(b"".join(authority.issue()))
    broker = Broker(
        folder,
        plain,
        controller,
        properties=_LISTENERS.format(plain=plain, controller=controller, tls=tls, keystore=keystore),
        format_options=tuple(
            f"--add-scram=SCRAM-SHA-{bits}=[name={USER},password={PASSWORD}]" for bits in (256, 512)
        ),
    )
    try:
        broker.start()
        yield Kafka.model_validate(
            {
                "bootstrap_servers": f"localhost:{tls}",
                "security_protocol": "SASL_SSL",
                "sasl_mechanism": "SCRAM-SHA-512",
                "sasl_username": USER,
                "sasl_password": PASSWORD,
                "ssl_ca_file": str(authority.file),
            }
        )
    finally:
        broker.stop()


class _Front:
    """PostgreSQL's own handshake of TLS before a server built without it (the wheel's); plain is refused."""

    def __init__(self, upstream: int, context: ssl.SSLContext) -> None:
        self._upstream, self._context = upstream, context

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(OSError, asyncio.IncompleteReadError):
            if await reader.readexactly(8) != SSL_REQUEST:
                return
            writer.write(b"S")
            await writer.start_tls(self._context)
            theirs, ours = await asyncio.open_connection("127.0.0.1", self._upstream)
            with contextlib.closing(ours):
                ways = [asyncio.create_task(_pump(*way)) for way in ((reader, ours), (theirs, writer))]
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                for way in ways:
                    way.cancel()


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while some := await source.read(65_536):
            sink.write(some)
            await sink.drain()


@contextlib.contextmanager
def running_tls_postgres(folder: Path, authority: Authority) -> Iterator[DatabaseUrls]:
    """A server behind TLS; its URLs for the name that its certificate has, without a word about TLS."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    pem = folder / "postgres.pem"
    pem.write_bytes(b"".join(authority.issue()))
    context.load_cert_chain(pem)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    with running_postgres(folder) as server:
        front = _Front(server.port, context)
        [port] = free_ports(1)
        thread.start()
        listening = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(front.accept, "127.0.0.1", port), loop
        ).result(10)
        try:
            known = (server.urls.superuser, server.urls.owner, server.urls.service)
            yield DatabaseUrls(
                *(url.replace(f"127.0.0.1:{server.port}", f"localhost:{port}") for url in known)
            )
        finally:
            asyncio.run_coroutine_threadsafe(_end(listening), loop).result(10)
            loop.call_soon_threadsafe(loop.stop)
            thread.join(10)
            loop.close()


async def _end(listening: asyncio.Server) -> None:
    listening.close()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


def with_query(url: str, **query: str) -> str:
    """Return the URL with these parameters."""
    return urlunsplit(urlsplit(url)._replace(query=urlencode(query)))
