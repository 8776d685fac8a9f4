"""A real PgBouncer in transaction mode, from the Debian package (`.ci/run` installs it)."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from deploy.embedded.servers import postgres_cluster
from deploy.embedded.servers.standalone import free_ports

# Small pools in transaction mode: each transaction may get another server connection, without its state.
_CONFIGURATION = """\
[databases]
* = host={host} port={port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen}
unix_socket_dir =
pool_mode = transaction
default_pool_size = 3
server_round_robin = 1
max_client_conn = 200
auth_type = scram-sha-256
auth_file = {users}
query_wait_timeout = 20
"""


def find_program() -> str | None:
    """Return the path of PgBouncer, or None if it is not installed."""
    return shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def _program() -> str:
    found = find_program()
    assert found, "PgBouncer is not installed: apt-get install pgbouncer"
    return found


class PgBouncer:
    """One that leads to the server of these URLs. `urls` are the same URLs as they lead through it.

    SIGUSR1 pauses it, SIGUSR2 resumes it, and SIGHUP reloads its configuration.
    """

    def __init__(self, folder: Path, *urls: str) -> None:
        """Write its files into a folder that the account of the servers may enter."""
        [self.port] = free_ports(1)
        parts = [urlsplit(url) for url in urls]
        logins = {unquote(part.username or ""): unquote(part.password or "") for part in parts}
        self._account = postgres_cluster.server_account()  # as root it refuses to run, as the server does
        users, self._configuration = folder / "users.txt", folder / "pgbouncer.ini"
        users.write_text("".join(f'"{name}" "{password}"\n' for name, password in logins.items()))
        self._configuration.write_text(
            _CONFIGURATION.format(host=parts[0].hostname, port=parts[0].port, listen=self.port, users=users)
        )
        if self._account:
            for path in (folder, users, self._configuration):
                os.chown(path, self._account.pw_uid, self._account.pw_gid)
        self.urls = [
            urlunsplit(part._replace(netloc=f"{part.netloc.rpartition('@')[0]}@127.0.0.1:{self.port}"))
            for part in parts
        ]
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        self.process = subprocess.Popen(
            [_program(), "-q", str(self._configuration)],
            user=self._account.pw_name if self._account else None,
            extra_groups=[] if self._account else None,
        )

    def stop(self) -> None:
        """End it at once, with all connections."""
        if self.process is not None and self.alive:
            self.process.terminate()
            self.process.wait(10)

    def kill(self) -> None:
        """End it with SIGKILL."""
        if self.process is not None and self.alive:
            self.process.kill()
            self.process.wait(10)


@contextlib.contextmanager
def running_pgbouncer(*urls: str) -> Iterator[list[str]]:
    """Run one while the block lasts. Yields the URLs, which have one server, as they lead through it."""
    # The account of the servers cannot enter the folders of pytest.
    with tempfile.TemporaryDirectory(prefix="pgbouncer-") as name:
        bouncer = PgBouncer(Path(name), *urls)
        bouncer.start()
        try:
            yield bouncer.urls
        finally:
            bouncer.stop()
