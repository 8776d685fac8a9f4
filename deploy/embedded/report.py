"""The texts that the commands print: progress, the ready message, the table of programs."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.markup import escape

from deploy.embedded.environment import EXAMPLE_TOKENS
from deploy.embedded.processes.programs import ONE_PROCESS
from deploy.embedded.progress import Progress
from deploy.embedded.settings import SERVICES, Stack
from deploy.embedded.state import State

# soft_wrap below keeps a curl command on one line, so that it can be copied.
console = Console(highlight=False)
errors = Console(highlight=False, stderr=True)


def show(text: str) -> None:
    """Print lines with rich's markup."""
    console.print(text, soft_wrap=True)


def print_error(text: str) -> None:
    """Print an error to stderr. Markup in `text` is not interpreted."""
    errors.print(f"[bold red]error:[/] {escape(text)}", soft_wrap=True)


def warn(text: str) -> None:
    """Print a warning to stderr. Markup in `text` is not interpreted."""
    errors.print(f"[yellow]warning:[/] {escape(text)}", soft_wrap=True)


@contextmanager
def progress(title: str) -> Iterator[Progress]:
    """Yield a function that prints a line for a step. On a terminal, show a spinner during the block."""
    started_at = time.monotonic()

    def show_step(line: str) -> None:
        show(f"[dim]{time.monotonic() - started_at:5.1f} s[/]  {escape(line)}")

    if console.is_terminal:
        with console.status(title):
            yield show_step
    else:
        yield show_step


def ready_message(stack: Stack, state: State, seconds: float) -> str:
    """Return the message that the stack is ready, with its addresses, tokens and two example requests.

    `seconds` is how long the start took.
    """
    environment, url = state.environment, state.url
    lines = [
        f"\n[bold green]FASTCore is ready[/] after {seconds:.1f} s\n",
        _line("leads", f"{url}/inbound/leads", f"documented at {url}/docs"),
        _line("admin", f"{url}/admin", f"documented at {url}/admin/docs"),
        *(_line(name, *_display_token(environment, variable)) for name, variable in _TOKENS.items()),
    ]
    if "mailbox" in state.servers:
        lines.append(
            _line("emails", f"http://localhost:{stack.mailbox_port}", f"stored in {stack.folder / 'mails'}")
        )
    else:
        lines.append(_line("emails", "the server that SMTP_HOST names"))
    if "postgres" in state.servers:
        lines.append(
            _line("database", f"127.0.0.1:{stack.postgres_port}/fastcore", "open it with `make psql`")
        )
    else:
        lines.append(_line("database", "the one that DATABASE_URL names", "open it with `make psql`"))
    lines += [
        _line("kafka", environment["KAFKA_BOOTSTRAP_SERVERS"]),
        _line("logs", "make logs s=persister", f"stored in {stack.folder / 'logs'}"),
        "\nPost a lead and look it up:\n",
        f"  {escape(curl_post(state))}\n",
        f"  {escape(curl_list(state))}\n",
    ]
    if state.mail_problem:
        server = f"{environment['SMTP_HOST']}:{environment.get('SMTP_PORT', '587')}"
        lines.append(
            f"[bold yellow]No email is sent:[/] the mail server {escape(server)} does not work"
            f" ({escape(state.mail_problem)}). Leads are accepted and stored; their emails wait, and are sent"
            " once it works.\nCorrect SMTP_HOST, SMTP_PORT, SMTP_TLS, SMTP_USER and SMTP_PASSWORD in .env"
            " (docs/email.md), then `make down` and `make up`. Without SMTP_HOST, emails are in a mailbox on"
            " this machine.\n"
        )
    return "\n".join(lines)


_TOKENS = {"site token": "FASTCORE_SITE_INGEST_TOKEN", "admin token": "FASTCORE_ADMIN_TOKEN"}

_LEAD = (
    '{"name": "Ada Lovelace", "email": "ada@example.com", "service": "Web development", '
    '"message": "Please call me about a new site."}'
)


def curl_post(state: State) -> str:
    """Return a curl command that posts a lead."""
    return (
        f"curl -X POST {state.url}/inbound/leads "
        f'-H "Authorization: Bearer {_bearer(state, "FASTCORE_SITE_INGEST_TOKEN")}" '
        f"-H \"Content-Type: application/json\" -d '{_LEAD}'"
    )


def curl_list(state: State) -> str:
    """Return a curl command that lists the leads."""
    token = _bearer(state, "FASTCORE_ADMIN_TOKEN")
    return f"curl -w '\\n' {state.url}/admin/leads -H \"Authorization: Bearer {token}\""


def _bearer(state: State, variable: str) -> str:
    value = state.environment[variable]
    return value if value == EXAMPLE_TOKENS[variable] else f"${variable}"


def _display_token(environment: Mapping[str, str], variable: str) -> tuple[str, str]:
    # Never show a token that is no example: people copy their terminal into tickets.
    value = environment[variable]
    return (value, "the example") if value == EXAMPLE_TOKENS[variable] else ("yours", f"from {variable}")


def _line(name: str, value: str, remark: str = "") -> str:
    return f"  [bold]{name:<12}[/] {escape(value):<38} [dim]{escape(remark)}[/]".rstrip()


def _ports(program: str, stack: Stack) -> str:
    if program != ONE_PROCESS:
        return str(stack.port(program))
    ports = [stack.port(name) for name in SERVICES]
    return f"{min(ports)}-{max(ports)}"


def status_table(programs: Mapping[str, dict[str, Any]], stack: Stack) -> str:
    """Return the table of programs and their states, one line for each program."""
    lines = [f"{'program':<10} {'state':<9} {'pid':>7} {'up for':>9}  port"]
    for name, info in programs.items():
        seconds = info["now"] - info["start"] if info["pid"] else 0
        uptime = f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}" if info["pid"] else "-"
        state = info["statename"].lower()
        colour = "green" if state == "running" else "red"
        lines.append(
            f"{name:<10} [{colour}]{state:<9}[/] {info['pid'] or '-':>7} {uptime:>9}  {_ports(name, stack)}"
        )
    return "\n".join(lines)
