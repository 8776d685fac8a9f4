"""A real IMAP server on loopback: a Dovecot with STARTTLS, which takes a password or a token (XOAUTH2).

It asks a token endpoint about each token.
"""

import contextlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import trustme

from deploy.embedded.servers.standalone import free_ports
from tests.support.mail.dovecot import OAUTH2, imap_config
from tests.support.mail.postfix import wait_for_greeting

USER, PASSWORD = "hello", "the-password-of-hello"


@dataclass(frozen=True)
class ImapServer:
    """The port of the server, its mailboxes (Maildir), and the file of its certificate authority."""

    port: int
    mailboxes: Path
    authority: Path

    def add(self, content: bytes) -> None:
        """Deliver a message to the mailbox of the user `USER`."""
        folder = self.mailboxes / USER
        for each in (folder, *(folder / name for name in ("cur", "new", "tmp"))):
            each.mkdir(exist_ok=True)
            shutil.chown(each, "postfix", "postfix")
        name = f"{1_700_000_000 + len(list(folder.glob('*/*')))}.{uuid4().hex}.host"
        (folder / "tmp" / name).write_bytes(content)
        shutil.chown(folder / "tmp" / name, "postfix", "postfix")
        (folder / "tmp" / name).rename(folder / "new" / name)

    def count(self, folder: str = "") -> int:
        """Return the number of messages in the inbox or another folder, without deleted ones."""
        found = (self.mailboxes / USER / folder).glob("[cn][ue][rw]/*")
        return sum("T" not in path.name.partition(":2,")[2] for path in found)


@contextlib.contextmanager
def imap_server(introspection_url: str) -> Iterator[ImapServer]:
    """Run the server while the block lasts. Needs root, Dovecot's IMAP server, and Postfix's user."""
    program = shutil.which("dovecot", path="/usr/sbin:/usr/bin")
    if program is None:
        raise FileNotFoundError("these tests need Dovecot: apt-get install dovecot-imapd (.ci/run does so)")
    (port,) = free_ports(1)
    with tempfile.TemporaryDirectory(prefix="fastcore-imap-") as made:
        folder = Path(made)
        folder.chmod(0o755)
        mailboxes, authority = folder / "mailboxes", trustme.CA()
        mailboxes.mkdir()
        shutil.chown(mailboxes, "postfix", "postfix")
        authority.cert_pem.write_to_path(folder / "authority.pem")
        authority.issue_cert("localhost", "127.0.0.1").private_key_and_cert_chain_pem.write_to_path(
            folder / "server.pem"
        )
        (folder / "oauth2.conf").write_text(OAUTH2.format(url=introspection_url))
        (folder / "dovecot.conf").write_text(imap_config(folder, mailboxes, port, PASSWORD, tokens=True))
        running = subprocess.Popen([program, "-F", "-c", folder / "dovecot.conf"])
        try:
            wait_for_greeting(port, running, folder / "dovecot.log", b"* OK")
            yield ImapServer(port, mailboxes, folder / "authority.pem")
        finally:
            running.terminate()
            running.wait(10)
