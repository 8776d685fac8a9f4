"""What the commands say to a person: progress, the ready message, the table of programs."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.markup import escape

from deploy.embedded.environment import EXAMPLE_TOKENS
from deploy.embedded.progress import Progress
from deploy.embedded.settings import Stack
from deploy.embedded.state import State

# soft_wrap below: a curl line must stay one line wherever it is pasted from.
console = Console(highlight=False)
errors = Console(highlight=False, stderr=True)


def say(text: str) -> None:
    """Print one or more lines of markup."""
    console.print(text, soft_wrap=True)


def complain(text: str) -> None:
    """Print an error as it is."""
    errors.print(f"[bold red]error:[/] {escape(text)}", soft_wrap=True)


@contextmanager
def progress(title: str) -> Iterator[Progress]:
    """Show a line for each step; on a terminal also a spinner, so that a long one is seen to live."""
    began = time.monotonic()

    def show(line: str) -> None:
        say(f"[dim]{time.monotonic() - began:5.1f} s[/]  {escape(line)}")

    if console.is_terminal:
        with console.status(title):
            yield show
    else:
        yield show


def ready(stack: Stack, state: State, seconds: float) -> str:
    """Write the message that says where everything is."""
    environment, url = state.environment, state.url
    lines = [
        f"\n[bold green]FASTCore is ready[/] after {seconds:.1f} s\n",
        _line("leads", f"{url}/inbound/leads", f"documented at {url}/docs"),
        _line("admin", f"{url}/admin", f"documented at {url}/admin/docs"),
        *(_line(name, *_secret(environment, variable)) for name, variable in _TOKENS.items()),
    ]
    if "mailbox" in state.parts:
        lines.append(
            _line("mails", f"http://localhost:{stack.mailbox_port}", f"kept in {stack.folder / 'mails'}")
        )
    else:
        lines.append(_line("mails", "the server that SMTP_HOST names"))
    if "postgres" in state.parts:
        lines.append(
            _line("database", f"127.0.0.1:{stack.postgres_port}/fastcore", "open it with `make psql`")
        )
    else:
        lines.append(_line("database", "the one that DATABASE_URL names", "open it with `make psql`"))
    lines += [
        _line("kafka", environment["KAFKA_BOOTSTRAP_SERVERS"]),
        _line("logs", "make logs s=persister", f"kept in {stack.folder / 'logs'}"),
        "\nPost a lead and look it up:\n",
        f"  {escape(curl_post(state))}\n",
        f"  {escape(curl_list(state))}\n",
    ]
    return "\n".join(lines)


_TOKENS = {"site token": "FASTCORE_SITE_INGEST_TOKEN", "admin token": "FASTCORE_ADMIN_TOKEN"}

_LEAD = (
    '{"name": "Ada Lovelace", "email": "ada@example.com", "service": "Web development", '
    '"message": "Please call me about a new site."}'
)


def curl_post(state: State) -> str:
    """Write a line to paste that posts a lead."""
    return (
        f"curl -X POST {state.url}/inbound/leads "
        f'-H "Authorization: Bearer {_bearer(state, "FASTCORE_SITE_INGEST_TOKEN")}" '
        f"-H \"Content-Type: application/json\" -d '{_LEAD}'"
    )


def curl_list(state: State) -> str:
    """Write a line to paste that lists the leads."""
    token = _bearer(state, "FASTCORE_ADMIN_TOKEN")
    return f'curl {state.url}/admin/leads -H "Authorization: Bearer {token}"'


def _bearer(state: State, variable: str) -> str:
    value = state.environment[variable]
    return value if value == EXAMPLE_TOKENS[variable] else f"${variable}"


def _secret(environment: Mapping[str, str], variable: str) -> tuple[str, str]:
    # A token of one's own is a secret, and a terminal is copied into tickets.
    value = environment[variable]
    return (value, "the example") if value == EXAMPLE_TOKENS[variable] else ("yours", f"from {variable}")


def _line(name: str, value: str, remark: str = "") -> str:
    return f"  [bold]{name:<12}[/] {escape(value):<38} [dim]{escape(remark)}[/]".rstrip()


def table(programs: Mapping[str, dict[str, Any]], stack: Stack) -> str:
    """Write one line per program."""
    lines = [f"{'program':<10} {'state':<9} {'pid':>7} {'up for':>9}  port"]
    for name, info in programs.items():
        seconds = info["now"] - info["start"] if info["pid"] else 0
        uptime = f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}" if info["pid"] else "-"
        state = info["statename"].lower()
        colour = "green" if state == "running" else "red"
        lines.append(
            f"{name:<10} [{colour}]{state:<9}[/] {info['pid'] or '-':>7} {uptime:>9}  {stack.port(name)}"
        )
    return "\n".join(lines)
