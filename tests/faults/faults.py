"""Every fault by its name. Each breaks one real thing for a while; what must hold is the checker's."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.faults import (
    client_faults,
    clock_faults,
    database_faults,
    mail_faults,
    server_faults,
    service_faults,
    spool_faults,
)
from tests.faults.environment import Action
from tests.support.smtp import DROP, HANG


@dataclass(frozen=True)
class Fault:
    """One kind of trouble."""

    name: str
    action: Action
    # What it needs and this machine has not, in words; None where it has all.
    missing: Callable[[], str | None] = lambda: None


def _all() -> list[Fault]:
    named: dict[str, Action] = {
        f"kill {name}": service_faults.kill(name) for name in ("ingest", "persister", "notifier", "flusher")
    }
    named |= {
        f"restart {name}": service_faults.restart(name)
        for name in ("ingest", "persister", "notifier", "flusher")
    }
    named |= {
        f"another {name}": service_faults.another(name) for name in ("persister", "notifier", "flusher")
    }
    named |= {"stop kafka": server_faults.stopped("kafka"), "kill kafka": server_faults.killed("kafka")}
    named |= {
        "kill postgres": server_faults.killed("postgres"),
        "gateway and kafka": service_faults.gateway_dies_with_kafka_away,
    }
    named |= {
        "persister in hand": service_faults.persister_dies_with_a_batch_in_hand,
        "notifier in hand": service_faults.notifier_dies_with_mails_in_hand,
        "drain without kafka": service_faults.drained_without_kafka,
        "drain all without kafka": service_faults.all_drained_without_kafka,
        "members come and go": service_faults.members_come_and_go,
    }
    named |= {
        f"{name} dies before: {place}": service_faults.dies_before(name, place)
        for name, place in (
            ("persister", "offset commit"),
            ("notifier", "offset commit"),
            ("notifier", "mail settled"),
            ("flusher", "offset commit"),
            ("flusher", "replay noted"),
        )
    }
    for part in ("kafka", "postgres", "smtp"):
        named |= {
            f"{fault} {part}": server_faults.wire(part, fault)
            for fault in ("blackhole", "reset", "latency", "slow")
        }
    named |= {f"refused {part}": server_faults.wire(part, "refused") for part in ("kafka", "postgres")}
    named |= {
        "terminate backends": database_faults.terminated_backends,
        "too many connections": database_faults.too_many_connections,
        "read-only": database_faults.read_only,
        "locked table": database_faults.locked_table,
        "deadlocks": database_faults.deadlocks,
        "lost commits": database_faults.lost_commits,
        "slow bodies": client_faults.slow_bodies,
        "huge bodies": client_faults.huge_bodies,
        "torn record": spool_faults.torn_record,
        "flipped bit": spool_faults.flipped_bit,
        "smtp 421 connect": mail_faults.says("connect", "421 4.3.2 too busy"),
        "smtp 421 rcpt": mail_faults.says("rcpt", "421 4.7.0 slow down"),
        "smtp 451 mail": mail_faults.says("mail", "451 4.3.0 try later"),
        "smtp 452 rcpt": mail_faults.says("rcpt", "452 4.3.1 no space"),
        "smtp 535": mail_faults.says("login", "535 5.7.8 not you"),
        "smtp 450": mail_faults.now_and_then("450 4.2.1 busy mailbox", "rcpt"),
        "smtp 451": mail_faults.now_and_then("451 4.7.1 greylisted", "rcpt", "data", "body"),
        "smtp hang": mail_faults.now_and_then(HANG, "connect", "ehlo", "login", "mail", "rcpt", "data"),
        "smtp drop": mail_faults.now_and_then(DROP, "connect", "ehlo", "login", "mail", "rcpt", "data"),
        "smtp hang after the dot": mail_faults.now_and_then(HANG, "body"),
        "smtp drop after the dot": mail_faults.now_and_then(DROP, "body"),
        "smtp away": mail_faults.away_for(),
        "poison": server_faults.poisoned,
    }
    return [
        *(Fault(name, action) for name, action in named.items()),
        Fault("disk full", spool_faults.disk_full, spool_faults.no_mounts),
        Fault("fsync fails", spool_faults.fsync_fails, spool_faults.no_strace),
        Fault(
            "clock jumps forward", clock_faults.jumps(clock_faults.HOUR_AND_A_BIT), clock_faults.no_faketime
        ),
        Fault("clock jumps back", clock_faults.jumps(-clock_faults.HOUR_AND_A_BIT), clock_faults.no_faketime),
    ]


ALL = {fault.name: fault for fault in _all()}

# A minute each, and not dealt: for `--fault`, with a load that lasts longer.
LONG = {
    name: Fault(name, action)
    for name, action in {
        "kafka stopped for a minute": server_faults.stopped("kafka", 60),
        "kafka dead for a minute": server_faults.killed("kafka", 60),
        "postgres dead for a minute": server_faults.killed("postgres", 60),
        "smtp away for a minute": mail_faults.away_for(60),
        "smtp 535 for a minute": mail_faults.says("login", "535 5.7.8 not you", 60),
    }.items()
}
