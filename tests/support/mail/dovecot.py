"""A real Dovecot that checks logins for Postfix: XOAUTH2, with tokens that it asks an endpoint about."""

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
passdb {{
  driver = oauth2
  mechanisms = xoauth2
  args = {folder}/oauth2.conf
}}
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
OAUTH2 = """
introspection_mode = post
introspection_url = {url}
username_attribute = username
active_attribute = active
active_value = true
tokeninfo_url =
"""


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
        config.write_text(MAIN.format(folder=folder, port=port, user="dovecot"))
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
