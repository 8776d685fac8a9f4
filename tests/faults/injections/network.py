"""A network for processes: a Linux network namespace for each, a bridge between them, and loss by iptables.

Needs root. A packet that is lost here is really lost: no reset, no refusal, and TCP repeats it.
"""

import contextlib
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from typing import Literal

Lost = Literal["sent", "received"]

_PROGRAMS = ("ip", "iptables")
_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def _run(*command: str) -> None:
    """Run a command. Raises `OSError` with what it says if it fails."""
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=20, check=False, env={"PATH": _PATH}
    )
    if done.returncode:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip()[:200]}")


class Network:
    """Members with an address each. This process has the address `host`, and reaches all of them."""

    def __init__(self) -> None:
        """Choose a network that this machine does not use. `open` makes it."""
        self._name = f"fc{secrets.token_hex(3)}"
        used = subprocess.run(
            ["ip", "-4", "route"], capture_output=True, text=True, timeout=20, check=True, env={"PATH": _PATH}
        ).stdout
        third = next(n for n in range(40 + secrets.randbelow(80), 250) if f"10.231.{n}." not in used)
        self._prefix = f"10.231.{third}"
        self.host = f"{self._prefix}.1"
        self.addresses: dict[str, str] = {}
        self._added = 0

    def open(self) -> None:
        """Make the bridge."""
        _run("ip", "link", "add", self._name, "type", "bridge")
        _run("ip", "addr", "add", f"{self.host}/24", "dev", self._name)
        _run("ip", "link", "set", self._name, "up")

    def add(self, member: str) -> str:
        """Add a member; return its address."""
        self._added += 1
        number = self._added + 10
        address, namespace = f"{self._prefix}.{number}", self._namespace(member)
        outside, inside = f"{self._name}-{number}", "eth0"
        _run("ip", "netns", "add", namespace)
        self.addresses[member] = address
        _run("ip", "link", "add", outside, "type", "veth", "peer", "name", inside, "netns", namespace)
        _run("ip", "link", "set", outside, "master", self._name, "up")
        for command in (
            ("addr", "add", f"{address}/24", "dev", inside),
            ("link", "set", inside, "up"),
            ("link", "set", "lo", "up"),
        ):
            _run("ip", "-n", namespace, *command)
        return address

    def remove(self, member: str) -> None:
        """Remove a member with its sockets: nobody hears of it, as when a machine loses power.

        A process of it must have ended. Its namespace would live as long as the process.
        """
        _run("ip", "netns", "del", self._namespace(member))
        del self.addresses[member]

    def command(self, member: str) -> tuple[str, ...]:
        """Return the words before a command that make it run there. The process id stays the same."""
        program = shutil.which("ip", path=_PATH)
        assert program
        return (program, "netns", "exec", self._namespace(member))

    def lose(self, member: str, lost: Lost, *, address: str, port: int | None = None) -> None:
        """Lose all that a member sends to, or receives from, an address: of one TCP port, or of all."""
        sent = lost == "sent"
        rule = ["-A", "OUTPUT" if sent else "INPUT", "-d" if sent else "-s", address]
        if port is not None:
            rule += ["-p", "tcp", "--dport" if sent else "--sport", str(port)]
        self._iptables(member, *rule, "-j", "DROP")

    def lose_text(self, member: str, text: str, *, address: str, port: int) -> None:
        """Lose each packet with this text that a member sends to a TCP port, and what is sent after it."""
        self._iptables(
            member, *("-A", "OUTPUT", "-d", address, "-p", "tcp", "--dport", str(port)),
            *("-m", "string", "--string", text, "--algo", "bm", "-j", "DROP"),
        )  # fmt: skip

    def heal(self) -> None:
        """Lose nothing any more."""
        for member in self.addresses:
            self._iptables(member, "-F")

    def close(self) -> None:
        """Remove everything. Processes that run there keep no network."""
        for member in self.addresses:
            with contextlib.suppress(OSError):
                _run("ip", "netns", "del", self._namespace(member))
        self.addresses.clear()
        with contextlib.suppress(OSError):
            _run("ip", "link", "del", self._name)

    def _namespace(self, member: str) -> str:
        return f"{self._name}-{member}"

    def _iptables(self, member: str, *rule: str) -> None:
        _run("ip", "netns", "exec", self._namespace(member), "iptables", "-w", *rule)


@contextlib.contextmanager
def open_network() -> Iterator[Network]:
    """Open a network while the block lasts."""
    network = Network()
    try:
        network.open()
        yield network
    finally:
        network.close()


@cache
def missing_network() -> str | None:
    """Return what this machine lacks for a network of namespaces, or None. Tries it once."""
    if os.geteuid() != 0:
        return "root, to make network namespaces"
    if missing := [name for name in _PROGRAMS if not shutil.which(name, path=_PATH)]:
        return f"the programs {', '.join(missing)} (apt-get install iproute2 iptables)"
    try:
        with open_network() as network:
            network.add("a")
            address = network.add("b")
            network.lose("a", "sent", address=address, port=80)
            network.lose_text("a", "x", address=address, port=80)
    except OSError as error:
        return f"a kernel with network namespaces, bridges and iptables: {error}"
    return None
