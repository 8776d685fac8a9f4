"""Every fault by its name. Each breaks one real thing for a while; what must hold is the checker's."""

from dataclasses import dataclass

from tests.faults import on_mail, on_servers, on_services
from tests.faults.world import Action
from tests.support.smtp import DROP, HANG


@dataclass(frozen=True)
class Fault:
    """One kind of trouble."""

    name: str
    action: Action


def _all() -> list[Fault]:
    named: dict[str, Action] = {
        f"kill {name}": on_services.kill(name) for name in ("ingest", "persister", "notifier", "flusher")
    }
    named |= {
        f"restart {name}": on_services.restart(name)
        for name in ("ingest", "persister", "notifier", "flusher")
    }
    named |= {f"another {name}": on_services.another(name) for name in ("persister", "notifier", "flusher")}
    named |= {"stop kafka": on_servers.stopped("kafka"), "kill kafka": on_servers.killed("kafka")}
    named |= {
        "kill postgres": on_servers.killed("postgres"),
        "gateway and kafka": on_services.gateway_dies_with_kafka_away,
    }
    named |= {
        "persister in hand": on_services.persister_dies_with_a_batch_in_hand,
        "notifier in hand": on_services.notifier_dies_with_mails_in_hand,
        "drain without kafka": on_services.drained_without_kafka,
    }
    for part in ("kafka", "postgres", "smtp"):
        named |= {
            f"{fault} {part}": on_servers.wire(part, fault)
            for fault in ("blackhole", "reset", "latency", "slow")
        }
    named |= {f"refused {part}": on_servers.wire(part, "refused") for part in ("kafka", "postgres")}
    named |= {
        "terminate backends": on_servers.terminated_backends,
        "too many connections": on_servers.too_many_connections,
        "read-only": on_servers.read_only,
        "locked table": on_servers.locked_table,
        "smtp 421 connect": on_mail.says("connect", "421 4.3.2 too busy"),
        "smtp 421 rcpt": on_mail.says("rcpt", "421 4.7.0 slow down"),
        "smtp 451 mail": on_mail.says("mail", "451 4.3.0 try later"),
        "smtp 452 rcpt": on_mail.says("rcpt", "452 4.3.1 no space"),
        "smtp 535": on_mail.says("login", "535 5.7.8 not you"),
        "smtp 450": on_mail.now_and_then("450 4.2.1 busy mailbox", "rcpt"),
        "smtp 451": on_mail.now_and_then("451 4.7.1 greylisted", "rcpt", "data", "body"),
        "smtp hang": on_mail.now_and_then(HANG, "connect", "ehlo", "login", "mail", "rcpt", "data"),
        "smtp drop": on_mail.now_and_then(DROP, "connect", "ehlo", "login", "mail", "rcpt", "data"),
        "smtp hang after the dot": on_mail.now_and_then(HANG, "body"),
        "smtp drop after the dot": on_mail.now_and_then(DROP, "body"),
        "smtp away": on_mail.away_for(),
        "poison": on_servers.poisoned,
    }
    return [Fault(name, action) for name, action in named.items()]


ALL = {fault.name: fault for fault in _all()}

# A minute each, and not dealt: for `--fault`, with a load that lasts longer.
LONG = {
    name: Fault(name, action)
    for name, action in {
        "kafka stopped for a minute": on_servers.stopped("kafka", 60),
        "kafka dead for a minute": on_servers.killed("kafka", 60),
        "postgres dead for a minute": on_servers.killed("postgres", 60),
        "smtp away for a minute": on_mail.away_for(60),
        "smtp 535 for a minute": on_mail.says("login", "535 5.7.8 not you", 60),
    }.items()
}
