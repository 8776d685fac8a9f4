"""`python -m deploy.embedded`: the commands behind `make up`, `down`, `reset`, `psql`, `logs`, `status`."""

import os
import shlex
import shutil
import signal
import sys
import time
from typing import Annotated
from urllib.parse import unquote, urlsplit, urlunsplit

import typer

from deploy.embedded import report, state
from deploy.embedded import stack as stacks
from deploy.embedded.environment import MIGRATION_URL, assemble, embedded_parts, read_given
from deploy.embedded.errors import EmbeddedError
from deploy.embedded.processes import orphans
from deploy.embedded.processes.supervisor import Supervisor, socket_path
from deploy.embedded.progress import silent
from deploy.embedded.servers import postgres, postgres_cluster
from deploy.embedded.settings import Stack, load

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None
)


@app.callback()
def describe() -> None:
    """Run all of FASTCore on this machine: Kafka, PostgreSQL, a mailbox and the five services.

    Nothing needs to be installed or running. KAFKA_BOOTSTRAP_SERVERS, DATABASE_URL or SMTP_HOST, in the
    environment or in `.env`, name a server of yours to use instead of the embedded one. The data lives in
    FASTCORE_EMBEDDED_DATA (default `.fastcore`); FASTCORE_EMBEDDED_<PROGRAM>_PORT moves a port.
    """


@app.command()
def up(
    *,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Return when ready, and leave it running.")
    ] = False,
) -> None:
    """Start everything and stay until Ctrl-C, which stops all of it.

    A second Ctrl-C does not wait for what is being finished. The data is kept for the next time.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    stack, began = load(), time.monotonic()
    try:
        with report.progress("Starting FASTCore") as progress:
            running, process = stacks.start(stack, read_given(), progress)
        report.say(report.ready(stack, running, time.monotonic() - began))
        if detach:
            report.say("It runs in the background. Stop it with `make down`.")
            return
        report.say("Ctrl-C stops it.")
        ended = process.wait()
    except KeyboardInterrupt:
        _stop(stack)
        report.say("FASTCore is stopped; its data is kept.")
        return
    # Somebody else ended it: `make down` elsewhere, or a signal to supervisord.
    stacks.stop(stack.folder, silent)
    if ended != 0:
        raise EmbeddedError(
            f"supervisord ended with {ended}: see {stack.folder / 'logs' / 'supervisord.log'}"
        )
    report.say("FASTCore was stopped.")


def _stop(stack: Stack) -> bool:
    try:
        with report.progress("Stopping FASTCore") as progress:
            return stacks.stop(stack.folder, progress)
    except KeyboardInterrupt:
        report.say("Stopping by force")
        return orphans.end(stack.folder, grace_seconds=0) > 0


@app.command()
def down() -> None:
    """Stop everything, also what a crash left behind. The data is kept."""
    ran = _stop(load())
    report.say("FASTCore is stopped; its data is kept." if ran else "FASTCore is not running.")


@app.command()
def reset(*, yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False) -> None:
    """Stop everything and forget the data: leads, topics, spool, mails and logs."""
    stack = load()
    if not yes:
        if not sys.stdin.isatty():
            raise EmbeddedError(
                f"this deletes the data in {stack.folder}: say --yes where nobody can be asked"
            )
        typer.confirm(f"Delete all leads, topics, mails and logs in {stack.folder}?", abort=True)
    _stop(stack)
    postgres.remove(stack.folder)
    # Only what is ours: somebody may have put the data folder where there is more.
    for name in ("kafka", "spool", "mails", "logs", "run"):
        shutil.rmtree(stack.folder / name, ignore_errors=True)
    (stack.folder / "passwords.json").unlink(missing_ok=True)
    shutil.rmtree(socket_path(stack.folder).parent, ignore_errors=True)
    report.say(f"The data in {stack.folder} is gone.")


@app.command()
def status() -> None:
    """Say what runs. Ends with 0 where all does, 1 where a program does not, 3 where nothing runs."""
    stack = load()
    programs = Supervisor(stack.folder).programs()
    if not programs:
        left = len(orphans.find(stack.folder))
        crashed = f"Its supervisor is gone, but {left} of its processes run on: end them with `make down`."
        report.say(crashed if left else "FASTCore is not running. Start it with `make up`.")
        raise typer.Exit(1 if left else 3)
    report.say(report.table(programs, stack))
    if any(info["statename"] != "RUNNING" for info in programs.values()):
        raise typer.Exit(1)


@app.command()
def logs(
    service: Annotated[str, typer.Argument(help="A program: kafka, postgres, mailbox, edge or a service.")],
    *,
    lines: Annotated[int, typer.Option("--lines", "-n", help="How many lines to begin with.")] = 50,
    follow: Annotated[bool, typer.Option(help="Stay, and show what comes.")] = True,
) -> None:
    """Follow the log of one program."""
    folder = load().folder / "logs"
    log = folder / f"{service}.log"
    known = sorted(path.stem for path in folder.glob("*.log"))
    if service not in known:
        raise EmbeddedError(f"there is no log of {service!r}; there is: {', '.join(known) or 'none yet'}")
    # -F follows the name, and so survives the log's rotation.
    os.execvp("tail", ["tail", "-n", str(lines), *(["-F"] if follow else []), str(log)])  # noqa: S606


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def psql(
    context: typer.Context,
    *,
    owner: Annotated[bool, typer.Option(help="As the owner of the tables, not as the services.")] = False,
) -> None:
    """Open the database; what follows goes to psql, such as -c "SELECT count(*) FROM lead_inbox"."""
    environment = _environment()
    url = urlsplit(environment[MIGRATION_URL if owner and MIGRATION_URL in environment else "DATABASE_URL"])
    address = url.netloc.rpartition("@")[2]
    user = f"{url.username}@" if url.username else ""
    program = postgres_cluster.binaries() / "bin" / "psql"
    # Not on the command line, which every user of the machine can read.
    password = {"PGPASSWORD": unquote(url.password)} if url.password else {}
    target = urlunsplit(url._replace(netloc=user + address))
    os.execve(program, [str(program), target, *context.args], {**os.environ, **password})  # noqa: S606


@app.command()
def env() -> None:
    """Print the variables that point a service or a test at this stack, as KEY=value lines for a shell."""
    for name, value in _environment().items():
        print(f"{name}={shlex.quote(value)}")


def _environment() -> dict[str, str]:
    stack = load()
    if running := state.read(stack.folder):
        return running.environment
    given = read_given()
    if "postgres" not in embedded_parts(given):
        return assemble(stack, given, None)
    if not (stack.folder / "passwords.json").exists():
        raise EmbeddedError(f"there is no database in {stack.folder} yet: start it with `make up`")
    return assemble(stack, given, postgres.urls(stack.folder, stack.postgres_port))


def main() -> None:
    """Run a command; what a person has to mend is said in a line, not in a traceback."""
    try:
        app()
    except EmbeddedError as error:
        report.complain(str(error))
        sys.exit(1)
    except PermissionError as error:
        report.complain(
            f"{error}. If another user (root?) made it, delete it as that user, "
            "or choose another data folder with FASTCORE_EMBEDDED_DATA."
        )
        sys.exit(1)
