"""A company's mail server on loopback: a Postfix that relays with STARTTLS and a login, and a Dovecot.

What the next server refuses, Postfix returns to the mailbox `hello@mailbox.example`. Dovecot serves it over
IMAP.
"""

import contextlib
import shutil
import socketserver
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import trustme

from deploy.embedded.servers.standalone import free_ports
from tests.support.mail.dovecot import imap_config
from tests.support.mail.postfix import AcceptEveryLogin, wait_for_greeting

ADDRESS = "hello@mailbox.example"
USER, PASSWORD = "hello", "the-password-of-hello"

_MAIN = """
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = /dev/stdout
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mail.relay.example
mydestination =
mynetworks = 192.0.2.1/32
virtual_mailbox_domains = mailbox.example
virtual_mailbox_base = {mailboxes}
virtual_mailbox_maps = inline:{{hello@mailbox.example=hello/ boss@mailbox.example=boss/}}
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
virtual_minimum_uid = 1
transport_maps = inline:{{visitor.example=smtp:[127.0.0.1]:{next_server}}}
smtp_host_lookup = native
smtp_tls_security_level = none
smtpd_tls_security_level = encrypt
smtpd_tls_chain_files = {folder}/server.pem
smtpd_tls_auth_only = yes
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = inet:127.0.0.1:{sasl}
smtpd_relay_restrictions = permit_sasl_authenticated, reject
smtpd_reject_unlisted_recipient = no
import_environment = MAIL_CONFIG TZ LANG=C RES_OPTIONS=timeout:1
"""
_MASTER = """
127.0.0.1:{submission} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
proxymap unix - - n - - proxymap
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
smtp unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
postlog unix-dgram n - n - 1 postlogd
"""


@dataclass(frozen=True)
class Relay:
    """The ports of the server, its mailboxes (Maildir), and the file of its certificate authority."""

    submission: int
    imap: int
    mailboxes: Path
    authority: Path

    def mails_of(self, name: str) -> list[bytes]:
        """Return the messages in a mailbox."""
        folders = (self.mailboxes / name / each for each in ("new", "cur"))
        return [path.read_bytes() for folder in folders for path in sorted(folder.glob("*"))]


@contextlib.contextmanager
def running_relay(next_server: int) -> Iterator[Relay]:
    """Run both servers while the block lasts. `next_server` is the port of the visitors' mail server."""
    programs = [shutil.which(name, path="/usr/sbin:/usr/bin:/sbin") for name in ("postfix", "dovecot")]
    if not all(programs):
        raise FileNotFoundError(
            "needs Postfix and Dovecot: apt-get install postfix dovecot-imapd (.ci/run does so)"
        )
    submission, imap = free_ports(2)
    with tempfile.TemporaryDirectory(prefix="fastcore-relay-") as made:
        folder = Path(made)
        folder.chmod(0o755)
        mailboxes, authority = folder / "mailboxes", trustme.CA()
        for name in ("config", "queue", "data", "mailboxes"):
            (folder / name).mkdir()
        shutil.chown(folder / "data", "postfix")
        shutil.chown(mailboxes, "postfix", "postfix")
        authority.cert_pem.write_to_path(folder / "authority.pem")
        authority.issue_cert("localhost", "127.0.0.1").private_key_and_cert_chain_pem.write_to_path(
            folder / "server.pem"
        )
        owner = mailboxes.stat()
        values = {
            "folder": folder, "mailboxes": mailboxes, "uid": owner.st_uid, "gid": owner.st_gid,
            "submission": submission, "next_server": next_server,
        }  # fmt: skip
        with socketserver.ThreadingTCPServer(("127.0.0.1", 0), AcceptEveryLogin) as logins:
            logins.daemon_threads = True
            threading.Thread(target=logins.serve_forever, daemon=True).start()
            (folder / "config/main.cf").write_text(_MAIN.format(**values, sasl=logins.server_address[1]))
            (folder / "config/master.cf").write_text(_MASTER.format(**values))
            (folder / "dovecot.conf").write_text(imap_config(folder, mailboxes, imap, PASSWORD))
            try:
                log, conf = folder / "log", folder / "dovecot.conf"
                sending = [programs[0], "-c", folder / "config", "start-fg"]
                serving = [programs[1], "-F", "-c", conf]
                with _running(log, submission, b"220", sending), _running(log, imap, b"* OK", serving):
                    yield Relay(submission, imap, mailboxes, folder / "authority.pem")
            finally:
                logins.shutdown()


@contextlib.contextmanager
def _running(log: Path, port: int, greeting: bytes, command: Sequence[object]) -> Iterator[None]:
    with log.open("ab") as out:
        running = subprocess.Popen([str(each) for each in command], stdout=out, stderr=subprocess.STDOUT)
    try:
        wait_for_greeting(port, running, log, greeting)
        yield
    finally:
        running.terminate()
        running.wait(10)
