"""Edits that break the product, each of which a fault of the suite must show (`tests.faults.broken`)."""

from typing import Final, NamedTuple


class Edit(NamedTuple):
    """A text that is in a file of the product once, and what replaces it."""

    file: str
    old: str
    new: str


class Broken(NamedTuple):
    """A break of the product, and the fault that shows it.

    It needs several edits where the product has two protections, of which each alone is enough.
    """

    about: str  # what the product does wrong then
    family: str
    fault: str
    edits: tuple[Edit, ...]
    shows: str  # a part of the violation, `kind: detail`
    seeds: int = 1  # a break that depends on the moment may need several rounds


_NOT_COMPARED: Final = Edit(
    "runtime/kafka/reconcile.py",
    "        rewound = await self._rewind_group(same_logs)",
    "        rewound: dict[TopicPartition, int] = {}",
)
_ACKS_OF_ONE: Final = Edit(
    "runtime/kafka/publisher.py",
    '            "acks": "all",\n            "enable_idempotence": True,\n',
    '            "acks": 1,\n',
)
BROKEN: Final[dict[str, Broken]] = {
    "201 before Kafka's answer": Broken(
        "the gateway answers 201 while the record is still on its way to Kafka",
        "installation",
        "gateway and kafka",
        (
            Edit(
                "services/ingest/lead_writer.py",
                "            await self._publisher.publish(record)\n        except DependencyUnavailable",
                "            self._sent = asyncio.ensure_future(self._publisher.publish(record))\n"
                "        except DependencyUnavailable",
            ),
        ),
        "lost: 201, and no row",
    ),
    "each mail twice": Broken(
        "the notifier sends each email, and then sends it again",
        "installation",
        "restart notifier",
        (
            Edit(
                "services/notifier/sending/mail_sender.py",
                "            outcome = await self._mailer.send(mail, lambda:",
                "            await self._mailer.send(mail, lambda: asyncio.sleep(0), review)\n"
                "            outcome = await self._mailer.send(mail, lambda:",
            ),
        ),
        "duplicated mail: ",
    ),
    "no fsync": Broken(
        "the spool does not wait for the disk",
        "installation",
        "gateway and kafka",
        (
            Edit(
                "services/ingest/spool/folder.py",
                "            os.fdatasync(file.fileno())\n        except OSError:",
                "        except OSError:",
            ),
        ),
        "lost: 201, and no row",
    ),
    "deliveries stored after the offset": Broken(
        "webhooks commits its offset, and stores the deliveries half a second later",
        "installation",
        "kill webhooks",
        (
            Edit(
                "services/webhooks/handlers.py",
                "        if await self._store.save(records, events, changes, plan, undecodable, queue_ids):",
                "        import asyncio\n\n"
                "        async def save_later() -> None:\n"
                "            await asyncio.sleep(0.5)\n"
                "            await self._store.save([], events, changes, plan, [], [])\n\n"
                "        self._later = asyncio.ensure_future(save_later())\n"
                "        if await self._store.save(records, [], [], plan, undecodable, queue_ids):",
            ),
        ),
        "lost event: ",
    ),
    "delivered before it is sent": Broken(
        "a delivery is recorded as delivered before its request",
        "installation",
        "webhooks dies before: request",
        (
            Edit(
                "services/webhooks/sender.py",
                "        started = self._now()\n        try:\n            outcome = await self._attempt(",
                "        started = self._now()\n"
                "        await self._record(claim, Outcome(Result.DELIVERED, 200))\n"
                "        try:\n"
                "            outcome = await self._attempt(",
            ),
        ),
        "lost event: ",
    ),
    "no idempotent insert": Broken(
        "a repeated record is inserted again",
        "installation",
        "kill ingest",
        (
            Edit(
                "services/persister/queries.sql",
                "    ON CONFLICT (id) DO NOTHING\n    RETURNING id\n), audited AS (",
                "    RETURNING id\n), audited AS (",
            ),
        ),
        "queue: ",
    ),
    "one clock decides what is old": Broken(
        "the retention job asks its own clock only",
        "clocks",
        "flusher a year ahead",
        (
            Edit(
                "services/flusher/jobs/retention.py",
                "        return min(self._clock(), database_time)",
                "        return self._clock()",
            ),
        ),
        "lost: 201, and no row",
    ),
    "gone clients keep their locks": Broken(
        "PostgreSQL does not notice that a client is gone",
        "partitions",
        "gone inside a transaction",
        (
            Edit(
                "deploy/cli/migrate.py",
                "            await end_sessions_of_gone_clients(connection)\n",
                "",
            ),
        ),
        "not idle",
        seeds=4,
    ),
    "pull removes before it posts": Broken(
        "an entry is removed from the website's queue before the gateway has it",
        "failpoints",
        "flusher dies at: queued lead posted",
        (
            Edit(
                "services/flusher/site_queues/site_queue_import.py",
                "            await self._sites.submit(site, submission)\n",
                "            await self._sites.remove(site, queued.id)\n"
                "            await self._sites.submit(site, submission)\n",
            ),
        ),
        "lost: ",
    ),
    "acks of one broker": Broken(
        "the producer waits for the leader only",
        "three_brokers",
        "followers hung, leader killed",
        (_ACKS_OF_ONE,),
        "lost: 201, and no row",
    ),
    "acks of a broker that is cut off": Broken(
        "the same, while the leader has lost the other brokers",
        "three_brokers",
        "leader cut off from the others",
        (_ACKS_OF_ONE,),
        "lost: 201, and no row",
    ),
    "no rebootstrap": Broken(
        "Kafka clients know the brokers of their start only, and are never replaced",
        "brokers_move",
        "all move at once",
        (
            Edit(
                "runtime/workarounds/aiokafka_metadata.py",
                "    if asyncio.current_task() is not",
                "    if client or asyncio.current_task() is not",
            ),
            Edit(
                "runtime/kafka/broker.py",
                "SILENCE_SECONDS: Final = 60.0",
                "SILENCE_SECONDS: Final = 6000.0",
            ),
        ),
        "not idle",
    ),
    "named statements behind a pooler": Broken(
        "prepared statements are used although PgBouncer gives each transaction another connection",
        "pgbouncer",
        "migration, pooler restarted",
        (
            Edit(
                "runtime/workarounds/asyncpg.py",
                "        if bool(properties & _POOLER) != assumed:",
                "        if False:",
            ),
        ),
        "database answered 42P05",
    ),
    "migrations lock a session": Broken(
        "migrations take a lock of the session, which stays on the pooler's connection",
        "pgbouncer",
        "migration",
        (
            Edit(
                "deploy/cli/migrate.py",
                'f"SELECT pg_advisory_xact_lock({LOCK})"',
                'f"SELECT pg_advisory_lock({LOCK})"',
            ),
        ),
        "all migrations applied did not come",
    ),
    "spool ignores a full disk": Broken(
        "a lead that the spool could not write gets a 201",
        "disks",
        "spool's disk full",
        (
            Edit(
                "services/ingest/spool/spool.py",
                "                    failed = True\n",
                "",
            ),
        ),
        "lost: 201, and no row",
    ),
    "full database blames the data": Broken(
        "a record waits in the replay queue because PostgreSQL's disk is full",
        "disks",
        "postgres's disk full",
        (
            Edit(
                "runtime/database/postgres.py",
                '_DATA_CLASSES = ("22", "23", "54")',
                '_DATA_CLASSES = ("22", "23", "54", "53")',
            ),
        ),
        "queue: ",
    ),
    "read-only server is taken": Broken(
        "the services keep a server that is no longer the primary",
        "postgres_failover",
        "primary fenced",
        (
            Edit(
                "runtime/workarounds/asyncpg.py",
                "        if properties & _READ_ONLY and self._must_be_writable:",
                "        if False:",
            ),
        ),
        "not idle",
    ),
    "ledger is not compared": Broken(
        "the ledger of a standby that lacks transactions is taken as it is",
        "postgres_failover",
        "lagging standby promoted",
        (_NOT_COMPARED,),
        "duplicated mail: ",
    ),
}
