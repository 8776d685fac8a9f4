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
from deploy.embedded.environment import MIGRATION_URL, build_environment, embedded_servers, read_environment
from deploy.embedded.errors import EmbeddedError
from deploy.embedded.processes import orphans
from deploy.embedded.processes.supervisor import Supervisor, socket_path
from deploy.embedded.progress import silent
from deploy.embedded.servers import postgres, postgres_cluster
from deploy.embedded.settings import Stack, load

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None
)

NOT_RUNNING = "FASTCore is not running. Start it with `make up`."


@app.callback()
def describe() -> None:
    """Run all of FASTCore on this machine: Kafka, PostgreSQL, a mailbox and the six services.

    Nothing else needs to be installed or running. To use an external server instead of an embedded one, set
    KAFKA_BOOTSTRAP_SERVERS, DATABASE_URL or SMTP_HOST in the environment or in `.env`. The data is in
    FASTCORE_EMBEDDED_DATA (default `.fastcore`). FASTCORE_EMBEDDED_<PROGRAM>_PORT changes a port.
    """


@app.command()
def up(
    *,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Return when everything is ready, and leave it running.")
    ] = False,
) -> None:
    """Start everything, and stop everything at Ctrl-C.

    A second Ctrl-C kills the programs without waiting for them. The data stays for the next start.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    stack, started_at = load(), time.monotonic()
    try:
        with report.progress("Starting FASTCore") as progress:
            running, process = stacks.start(stack, read_environment(), progress)
        report.show(report.ready_message(stack, running, time.monotonic() - started_at))
        if detach:
            report.show("It runs in the background. Stop it with `make down`.")
            return
        report.show("Ctrl-C stops it.")
        exit_code = process.wait()
    except KeyboardInterrupt:
        _stop(stack)
        report.show("FASTCore is stopped. Its data is kept.")
        return
    # Another process ended supervisord: `make down`, or a signal.
    stacks.stop(stack.folder, silent)
    if exit_code != 0:
        raise EmbeddedError(
            f"supervisord exited with {exit_code}: see {stack.folder / 'logs' / 'supervisord.log'}"
        )
    report.show("FASTCore was stopped.")


def _stop(stack: Stack) -> bool:
    try:
        with report.progress("Stopping FASTCore") as progress:
            return stacks.stop(stack.folder, progress)
    except KeyboardInterrupt:
        report.show("Killing all programs")
        return orphans.terminate(stack.folder, grace_seconds=0) > 0


@app.command()
def down() -> None:
    """Stop everything, including processes that a crash left running. The data stays."""
    ran = _stop(load())
    report.show("FASTCore is stopped. Its data is kept." if ran else "FASTCore is not running.")


@app.command()
def reset(
    *, yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False
) -> None:
    """Stop everything and delete the data: leads, topics, spool, emails and logs."""
    stack = load()
    if not yes:
        if not sys.stdin.isatty():
            raise EmbeddedError(
                f"this deletes the data in {stack.folder}: without a terminal, confirm it with --yes"
            )
        typer.confirm(f"Delete all leads, topics, emails and logs in {stack.folder}?", abort=True)
    _stop(stack)
    postgres.remove(stack.folder)
    # Only the stack's own folders: the data folder may contain other files.
    for name in ("kafka", "spool", "mails", "logs", "run"):
        shutil.rmtree(stack.folder / name, ignore_errors=True)
    (stack.folder / "passwords.json").unlink(missing_ok=True)
    shutil.rmtree(socket_path(stack.folder).parent, ignore_errors=True)
    report.show(f"The data in {stack.folder} is deleted.")


@app.command()
def status() -> None:
    """Show what runs. Exits with 0 if every program runs, 1 if one does not, 3 if nothing runs."""
    stack = load()
    programs = Supervisor(stack.folder).programs()
    if not programs:
        count = len(orphans.find_processes(stack.folder))
        crashed = f"Its supervisor has crashed, but {count} of its processes run: stop them with `make down`."
        report.show(crashed if count else NOT_RUNNING)
        raise typer.Exit(1 if count else 3)
    report.show(report.status_table(programs, stack))
    if any(info["statename"] != "RUNNING" for info in programs.values()):
        raise typer.Exit(1)


@app.command()
def logs(
    service: Annotated[str, typer.Argument(help="A program: kafka, postgres, mailbox, edge or a service.")],
    *,
    lines: Annotated[
        int, typer.Option("--lines", "-n", help="How many of the last lines to show first.")
    ] = 50,
    follow: Annotated[bool, typer.Option(help="Stay, and show new lines.")] = True,
) -> None:
    """Follow the log of one program."""
    folder = load().folder / "logs"
    log = folder / f"{service}.log"
    known = sorted(path.stem for path in folder.glob("*.log"))
    if service not in known:
        raise EmbeddedError(f"there is no log of {service!r}; choose one of: {', '.join(known) or '(none)'}")
    # -F follows the file name, so it continues after the log's rotation.
    os.execvp("tail", ["tail", "-n", str(lines), *(["-F"] if follow else []), str(log)])  # noqa: S606


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def psql(
    context: typer.Context,
    *,
    owner: Annotated[
        bool, typer.Option(help="Connect as the owner of the tables, not as the services' role.")
    ] = False,
) -> None:
    """Open the database. psql gets further arguments, for example -c "SELECT count(*) FROM lead_inbox"."""
    environment, is_running = _environment()
    if not is_running and "postgres" in embedded_servers(read_environment()):
        raise EmbeddedError(NOT_RUNNING)
    url = urlsplit(environment[MIGRATION_URL if owner and MIGRATION_URL in environment else "DATABASE_URL"])
    address = url.netloc.rpartition("@")[2]
    user = f"{url.username}@" if url.username else ""
    program = postgres_cluster.binaries() / "bin" / "psql"
    # Not on the command line, because every user of the machine can read it.
    password = {"PGPASSWORD": unquote(url.password)} if url.password else {}
    target = urlunsplit(url._replace(netloc=user + address))
    os.execve(program, [str(program), target, *context.args], {**os.environ, **password})  # noqa: S606


@app.command()
def env() -> None:
    """Print the variables that point a service or a test at this stack, as NAME=value lines for a shell."""
    environment, is_running = _environment()
    if not is_running:
        report.warn(NOT_RUNNING)
    for name, value in environment.items():
        print(f"{name}={shlex.quote(value)}")


def _environment() -> tuple[dict[str, str], bool]:
    """Return the stack's variables, and whether any process of the stack runs."""
    stack = load()
    if running := state.read(stack.folder):
        return running.environment, True
    is_running = bool(orphans.find_processes(stack.folder))
    configured = read_environment()
    if "postgres" not in embedded_servers(configured):
        return build_environment(stack, configured, None), is_running
    if not (stack.folder / "passwords.json").exists():
        raise EmbeddedError(f"there is no database in {stack.folder} yet: start it with `make up`")
    database = postgres.database_urls(stack.folder, stack.postgres_port)
    return build_environment(stack, configured, database), is_running


def main() -> None:
    """Run a command. Print an error that the user can correct as one line, without a traceback."""
    try:
        app()
    except EmbeddedError as error:
        report.print_error(str(error))
        sys.exit(1)
    except PermissionError as error:
        report.print_error(
            f"{error}. If another user (root?) created it, delete it as that user, "
            "or choose another data folder with FASTCORE_EMBEDDED_DATA."
        )
        sys.exit(1)
