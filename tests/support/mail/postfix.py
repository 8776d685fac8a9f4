"""A real Postfix on loopback that refuses mails in a different way on each port, and keeps mailboxes."""

import contextlib
import shutil
import socket
import socketserver
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from pathlib import Path

from deploy.embedded.servers.standalone import free_ports

START_SECONDS = 20.0
PORTS = ("relay", "login", "sender", "helo", "client", "recipient", "submission")

# `-o` of each port refers to these; smtpd_delay_reject is yes, as by default: all of it is said at RCPT.
MAIN = """
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = /dev/stdout
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mail.postfix.test
mydestination = fast.example
mynetworks = 127.0.0.0/8
local_recipient_maps = inline:{{boss=here ada=here}}
local_transport = discard
virtual_mailbox_domains = mailbox.example
virtual_mailbox_base = {mailboxes}
virtual_mailbox_maps = inline:{{
    team@mailbox.example=team/ ada@mailbox.example=ada/ office@mailbox.example=office/}}
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{uid}
virtual_minimum_uid = 1
default_transport = discard
smtpd_delay_reject = yes
smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination
smtpd_sasl_type = dovecot
smtpd_sasl_path = inet:127.0.0.1:{sasl}
smtpd_sasl_security_options =
smtpd_sender_login_maps = inline:{{hello@fast.example=another}}
strangers_only = reject_unauth_destination
owners_only = reject_sender_login_mismatch
users = permit_sasl_authenticated, reject
known_domains_only = reject_unknown_sender_domain
some_helo = check_helo_access inline:{{fast.example=REJECT}}
some_clients = check_client_access inline:{{127.0.0.1=REJECT}}
import_environment = MAIL_CONFIG TZ LANG=C RES_OPTIONS=timeout:1
"""
MASTER = """
127.0.0.1:{relay} inet n - n - - smtpd -o smtpd_relay_restrictions=$strangers_only
127.0.0.1:{login} inet n - n - - smtpd -o smtpd_sasl_auth_enable=yes -o smtpd_sender_restrictions=$owners_only
127.0.0.1:{submission} inet n - n - - smtpd -o smtpd_sasl_auth_enable=yes -o smtpd_relay_restrictions=$users
127.0.0.1:{sender} inet n - n - - smtpd -o smtpd_sender_restrictions=$known_domains_only
127.0.0.1:{helo} inet n - n - - smtpd -o smtpd_helo_restrictions=$some_helo
127.0.0.1:{client} inet n - n - - smtpd -o smtpd_client_restrictions=$some_clients
127.0.0.1:{recipient} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
proxymap unix - - n - - proxymap
anvil unix - - n - 1 anvil
discard unix - - n - - discard
virtual unix - n n - - virtual
postlog unix-dgram n - n - 1 postlogd
"""


@dataclass(frozen=True)
class Postfix:
    """A running Postfix, with one port for each kind of refusal.

    It delivers mails for `team`, `ada` and `office` at `mailbox.example` to the Maildir of that name in
    `mailboxes`.
    """

    ports: dict[str, int]
    mailboxes: Path

    def mails_of(self, name: str) -> list[EmailMessage]:
        """Return the mails in the mailbox of this name."""
        read = BytesParser(policy=policy.default)
        paths = sorted((self.mailboxes / name / "new").glob("*"))
        return [read.parsebytes(path.read_bytes()) for path in paths]


@contextlib.contextmanager
def postfix(sasl_port: int | None = None) -> Iterator[Postfix]:
    """Run Postfix while the block lasts. Its master needs root, and the Debian package `postfix`.

    Dovecot at `sasl_port` decides about logins. Without it, everybody is the user `us`.
    """
    program = shutil.which("postfix", path="/usr/sbin:/usr/bin:/sbin")
    if program is None:
        raise FileNotFoundError("these tests need Postfix: apt-get install postfix (.ci/run does so)")
    ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
    # The user `postfix` cannot enter the folder of pytest.
    with tempfile.TemporaryDirectory(prefix="fastcore-postfix-") as made:
        folder = Path(made)
        folder.chmod(0o755)
        mailboxes = folder / "mailboxes"
        mailboxes.mkdir()
        shutil.chown(mailboxes, "postfix", "postfix")
        with _running(program, folder, mailboxes, ports, sasl_port):
            yield Postfix(ports, mailboxes)


@contextlib.contextmanager
def _running(
    program: str, folder: Path, mailboxes: Path, ports: dict[str, int], sasl_port: int | None
) -> Iterator[None]:
    config, queue, data = (folder / name for name in ("config", "queue", "data"))
    for each in (config, queue, data):
        each.mkdir()
    shutil.chown(data, "postfix")
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), AcceptEveryLogin) as logins:
        logins.daemon_threads = True
        threading.Thread(target=logins.serve_forever, daemon=True).start()
        values = {"folder": folder, "mailboxes": mailboxes, "uid": mailboxes.stat().st_uid}
        (config / "main.cf").write_text(MAIN.format(**values, sasl=sasl_port or logins.server_address[1]))
        (config / "master.cf").write_text(MASTER.format(**ports))
        log = folder / "log"
        with log.open("wb") as out:
            running = subprocess.Popen(
                [program, "-c", config, "start-fg"], stdout=out, stderr=subprocess.STDOUT
            )
        try:
            wait_for_greeting(ports["recipient"], running, log)
            yield
        finally:
            running.terminate()
            running.wait(10)
            logins.shutdown()


def wait_for_greeting(
    port: int, running: "subprocess.Popen[bytes]", log: Path, greeting: bytes = b"220"
) -> None:
    """Wait until the server on this port greets; fail with its log if it ends or stays silent."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and running.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 5) as connection:
            if connection.recv(100).startswith(greeting):
                return
        time.sleep(0.05)
    raise AssertionError(f"the server did not start: {log.read_text(errors='replace')}")


class AcceptEveryLogin(socketserver.StreamRequestHandler):
    """Plays Dovecot's authentication server (protocol 1.1): everybody is the user `us`."""

    def handle(self) -> None:
        self.wfile.write(b"VERSION\t1\t1\nMECH\tPLAIN\tplaintext\nSPID\t1\nCUID\t1\nCOOKIE\t00\nDONE\n")
        for line in self.rfile:
            fields = line.decode().rstrip("\n").split("\t")
            if fields[0] == "AUTH":
                self.wfile.write(f"OK\t{fields[1]}\tuser=us\n".encode())
