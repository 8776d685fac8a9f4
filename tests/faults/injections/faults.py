"""All faults by name. Each one breaks a part of the environment for a while."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.faults.environment import Action
from tests.faults.injections import (
    client_faults,
    clock_faults,
    database_faults,
    mail_faults,
    receiver_faults,
    server_faults,
    service_faults,
    spool_faults,
)
from tests.faults.receiver import BEHAVIOURS
from tests.support.mail.smtp import DROP, HANG


@dataclass(frozen=True)
class Fault:
    """A named fault."""

    name: str
    action: Action
    # Returns what this machine lacks for the fault, or None.
    missing: Callable[[], str | None] = lambda: None


def _all() -> list[Fault]:
    named: dict[str, Action] = {f"kill {name}": service_faults.kill(name) for name in service_faults.PARTS}
    named |= {f"restart {name}": service_faults.restart(name) for name in service_faults.PARTS}
    named |= {f"another {name}": service_faults.extra_member(name) for name in service_faults.PARTS[1:]}
    named |= {"stop kafka": server_faults.stopped("kafka"), "kill kafka": server_faults.killed("kafka")}
    named |= {
        "kill postgres": server_faults.killed("postgres"),
        "gateway and kafka": service_faults.gateway_power_loss_without_kafka,
    }
    named |= {
        "kill persister mid-batch": service_faults.kill_persister_mid_batch,
        "kill notifier mid-mail": service_faults.kill_notifier_mid_mail,
        "drain without kafka": service_faults.drain_without_kafka,
        "drain all without kafka": service_faults.drain_all_without_kafka,
        "members come and go": service_faults.rebalance_repeatedly,
    }
    named |= {
        f"{name} dies before: {place}": service_faults.kill_before(name, place)
        for name, place in (
            ("persister", "offset commit"),
            ("notifier", "offset commit"),
            ("notifier", "mail outcome stored"),
            ("notifier", "digest begun"),
            ("notifier", "digest outcome stored"),
            ("flusher", "offset commit"),
            ("flusher", "replay noted"),
            ("flusher", "event published"),
            ("flusher", "event deleted"),
            ("webhooks", "deliveries stored"),
            ("webhooks", "offset commit"),
            ("webhooks", "request"),
            ("webhooks", "outcome stored"),
        )
    }
    named |= {f"receiver {name}": receiver_faults.answers(name) for name in BEHAVIOURS}
    named |= {
        "kill webhooks mid-request": receiver_faults.kill_webhooks_mid_request,
        "receiver away": receiver_faults.stopped,
        "receiver's certificate expires": receiver_faults.expired_certificate,
        "receiver's name is unknown": receiver_faults.name_points_to(""),
        "receiver's name moves": receiver_faults.name_points_to(receiver_faults.METADATA),
    }
    for part in ("kafka", "postgres", "smtp"):
        named |= {
            f"{fault} {part}": server_faults.network_fault(part, fault)
            for fault in ("blackhole", "reset", "latency", "slow")
        }
    named |= {
        f"refused {part}": server_faults.network_fault(part, "refused") for part in ("kafka", "postgres")
    }
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
        "smtp 421 connect": mail_faults.reply_always("connect", "421 4.3.2 too busy"),
        "smtp 421 rcpt": mail_faults.reply_always("rcpt", "421 4.7.0 slow down"),
        "smtp 451 mail": mail_faults.reply_always("mail", "451 4.3.0 try later"),
        "smtp 452 rcpt": mail_faults.reply_always("rcpt", "452 4.3.1 no space"),
        "smtp 535": mail_faults.reply_always("login", "535 5.7.8 not you"),
        "smtp 450": mail_faults.reply_sometimes("450 4.2.1 busy mailbox", "rcpt"),
        "smtp 451": mail_faults.reply_sometimes("451 4.7.1 greylisted", "rcpt", "data", "body"),
        "smtp hang": mail_faults.reply_sometimes(HANG, "connect", "ehlo", "login", "mail", "rcpt", "data"),
        "smtp drop": mail_faults.reply_sometimes(DROP, "connect", "ehlo", "login", "mail", "rcpt", "data"),
        "smtp hang after the dot": mail_faults.reply_sometimes(HANG, "body"),
        "smtp drop after the dot": mail_faults.reply_sometimes(DROP, "body"),
        "smtp away": mail_faults.server_stopped(),
        "poison": server_faults.produce_poison,
    }
    return [
        *(Fault(name, action) for name, action in named.items()),
        Fault("disk full", spool_faults.disk_full, spool_faults.missing_mount),
        Fault("fsync fails", spool_faults.fsync_fails, spool_faults.missing_strace),
        Fault(
            "clock jumps forward",
            clock_faults.jumps(clock_faults.OVER_AN_HOUR),
            clock_faults.missing_faketime,
        ),
        Fault(
            "clock jumps back", clock_faults.jumps(-clock_faults.OVER_AN_HOUR), clock_faults.missing_faketime
        ),
    ]


ALL = {fault.name: fault for fault in _all()}

# Each needs a minute. The load of their rounds is longer.
LONG = {
    name: Fault(name, action)
    for name, action in {
        "kafka stopped for a minute": server_faults.stopped("kafka", 60),
        "kafka dead for a minute": server_faults.killed("kafka", 60),
        "postgres dead for a minute": server_faults.killed("postgres", 60),
        "smtp away for a minute": mail_faults.server_stopped(60),
        "smtp 535 for a minute": mail_faults.reply_always("login", "535 5.7.8 not you", 60),
    }.items()
}
