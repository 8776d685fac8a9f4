"""Every fault by its name. Each breaks one real thing for a while; what must hold is the checker's."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.faults import on_clients, on_clock, on_mail, on_servers, on_services, on_spool, on_sql
from tests.faults.world import Action
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
        "drain all without kafka": on_services.all_drained_without_kafka,
        "members come and go": on_services.members_come_and_go,
    }
    named |= {
        f"{name} dies before: {place}": on_services.dies_before(name, place)
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
            f"{fault} {part}": on_servers.wire(part, fault)
            for fault in ("blackhole", "reset", "latency", "slow")
        }
    named |= {f"refused {part}": on_servers.wire(part, "refused") for part in ("kafka", "postgres")}
    named |= {
        "terminate backends": on_sql.terminated_backends,
        "too many connections": on_sql.too_many_connections,
        "read-only": on_sql.read_only,
        "locked table": on_sql.locked_table,
        "deadlocks": on_sql.deadlocks,
        "lost commits": on_sql.lost_commits,
        "slow bodies": on_clients.slow_bodies,
        "huge bodies": on_clients.huge_bodies,
        "torn record": on_spool.torn_record,
        "flipped bit": on_spool.flipped_bit,
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
    return [
        *(Fault(name, action) for name, action in named.items()),
        Fault("disk full", on_spool.disk_full, on_spool.no_mounts),
        Fault("fsync fails", on_spool.fsync_fails, on_spool.no_strace),
        Fault("clock jumps forward", on_clock.jumps(on_clock.HOUR_AND_A_BIT), on_clock.no_faketime),
        Fault("clock jumps back", on_clock.jumps(-on_clock.HOUR_AND_A_BIT), on_clock.no_faketime),
    ]


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
