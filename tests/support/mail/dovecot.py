"""A real Dovecot: checks logins with XOAUTH2 for Postfix, or serves IMAP. An endpoint checks its tokens."""

import contextlib
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from deploy.embedded.servers.standalone import free_ports

START_SECONDS = 20.0
MAIN = """
base_dir = {folder}/run
state_dir = {folder}/state
log_path = /dev/stderr
protocols =
ssl = no
disable_plaintext_auth = no
auth_mechanisms = xoauth2
auth_failure_delay = 0
default_login_user = {user}
default_internal_user = {user}
default_internal_group = {user}
userdb {{
  driver = static
  args = uid=nobody gid=nogroup home=/nonexistent
}}
service auth {{
  inet_listener {{
    address = 127.0.0.1
    port = {port}
  }}
}}
service stats {{
  unix_listener stats-writer {{
    mode = 0666
  }}
}}
"""
_TOKENS = """
passdb {{
  driver = oauth2
  mechanisms = xoauth2
  args = {folder}/oauth2.conf
}}
"""
_IMAP = """
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/dovecot.log
protocols = imap
listen = 127.0.0.1
ssl = required
ssl_cert = <{folder}/server.pem
ssl_key = <{folder}/server.pem
first_valid_uid = 1
first_valid_gid = 1
auth_mechanisms = plain login xoauth2
auth_failure_delay = 0
mail_location = maildir:{mailboxes}/%u
passdb {{
  driver = static
  mechanisms = plain login
  args = password={password}
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={mailboxes}/%u
}}
namespace inbox {{
  inbox = yes
}}
service imap-login {{
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
"""
OAUTH2 = """
introspection_mode = post
introspection_url = {url}
username_attribute = username
active_attribute = active
active_value = true
tokeninfo_url =
"""


def imap_config(folder: Path, mailboxes: Path, port: int, password: str, *, tokens: bool = False) -> str:
    """Return the configuration of an IMAP server with STARTTLS.

    Its certificate is `server.pem` in `folder`. `mailboxes` has a Maildir for each user, and all users have
    the same password. With `tokens` they may log in with XOAUTH2 too, as `oauth2.conf` in `folder` says.
    """
    owner = mailboxes.stat()
    config = _IMAP.format(
        folder=folder, mailboxes=mailboxes, port=port, password=password, uid=owner.st_uid, gid=owner.st_gid
    )
    return config + _TOKENS.format(folder=folder) if tokens else config.replace(" xoauth2", "")


@contextlib.contextmanager
def dovecot(introspection_url: str) -> Iterator[int]:
    """Run Dovecot while the block lasts, and yield the port for Postfix. Needs root and `dovecot-core`."""
    program = shutil.which("dovecot", path="/usr/sbin:/usr/bin")
    if program is None:
        raise FileNotFoundError("these tests need Dovecot: apt-get install dovecot-core (.ci/run does so)")
    (port,) = free_ports(1)
    with tempfile.TemporaryDirectory(prefix="fastcore-dovecot-") as made:
        folder = Path(made)
        folder.chmod(0o755)
        config = folder / "dovecot.conf"
        config.write_text((MAIN + _TOKENS).format(folder=folder, port=port, user="dovecot"))
        (folder / "oauth2.conf").write_text(OAUTH2.format(url=introspection_url))
        log = folder / "log"
        with log.open("wb") as out:
            running = subprocess.Popen([program, "-F", "-c", config], stdout=out, stderr=subprocess.STDOUT)
        try:
            _wait_for(port, running, log)
            yield port
        finally:
            running.terminate()
            running.wait(10)


def _wait_for(port: int, running: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and running.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 5) as connection:
            connection.settimeout(5)
            if connection.recv(100).startswith(b"VERSION"):
                return
        time.sleep(0.05)
    raise AssertionError(f"Dovecot did not start: {log.read_text(errors='replace')}")
