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


def _program() -> str:
    found = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    assert found, "PgBouncer is not installed: apt-get install pgbouncer"
    return found


@contextlib.contextmanager
def running_pgbouncer(*urls: str) -> Iterator[list[str]]:
    """Run one while the block lasts. Yields the URLs, which have one server, as they lead through it."""
    [listen] = free_ports(1)
    parts = [urlsplit(url) for url in urls]
    logins = {unquote(part.username or ""): unquote(part.password or "") for part in parts}
    account = postgres_cluster.server_account()  # as root it refuses to run, as the server does
    # That account cannot enter the folders of pytest.
    with tempfile.TemporaryDirectory(prefix="pgbouncer-") as name:
        folder = Path(name)
        users, configuration = folder / "users.txt", folder / "pgbouncer.ini"
        users.write_text("".join(f'"{name}" "{password}"\n' for name, password in logins.items()))
        configuration.write_text(
            _CONFIGURATION.format(host=parts[0].hostname, port=parts[0].port, listen=listen, users=users)
        )
        for path in (folder, users, configuration):
            if account:
                os.chown(path, account.pw_uid, account.pw_gid)
        process = subprocess.Popen(
            [_program(), "-q", str(configuration)],
            user=account.pw_name if account else None,
            extra_groups=[] if account else None,
        )
        try:
            yield [
                urlunsplit(part._replace(netloc=f"{part.netloc.rpartition('@')[0]}@127.0.0.1:{listen}"))
                for part in parts
            ]
        finally:
            process.terminate()
            process.wait(10)
