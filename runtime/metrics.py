"""The whole catalogue of metrics: `fastcore_<noun>_<unit>[_total]`. Never an id or an email in a label."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

# --- every service -------------------------------------------------------------------------------

# 1 where a part that the process needs (database, kafka, smtp, consumer) is well, else 0. Checked when read.
PART_UP: Final = Gauge("fastcore_part_up", "A needed part is well.", ["part"])

# --- every consumer ------------------------------------------------------------------------------

# Records taken from Kafka and finished, by topic.
RECORDS: Final = Counter("fastcore_records_total", "Records handled.", ["topic"])
# Records per batch: near 1 at rest, near the maximum while a backlog drains.
BATCH_RECORDS: Final = Histogram(
    "fastcore_batch_records", "Records in one batch.", buckets=(1, 2, 5, 10, 50, 100, 500, 2000)
)
# From taking a batch to having committed its offsets.
BATCH_SECONDS: Final = Histogram("fastcore_batch_seconds", "Time to handle one batch.")
# Pauses because something outside was away, by what was away.
PAUSES: Final = Counter("fastcore_pauses_total", "Pauses of the stage.", ["part"])
# Records handed to leads.failed.v1, by final or not.
PARKED: Final = Counter("fastcore_records_parked_total", "Records parked.", ["final"])
# Failures that nobody foresaw: each is a bug to look at.
BUGS: Final = Counter("fastcore_bugs_total", "Unexpected exceptions in a handler.")
# Records between our position and the end of the partition, as the last fetch saw it.
LAG: Final = Gauge("fastcore_lag_records", "Records not taken yet.", ["topic", "partition"])

# Partitions of which a ledger was repaired. Cause: database (it was rolled back: records that the group had
# committed are taken again), log (it lost its tail, or is another one). Not 0: alert.
LEDGER_REWINDS: Final = Counter(
    "fastcore_ledger_rewinds_total", "Ledgers that did not fit Kafka any more.", ["cause"]
)

# --- the admin service, which looks at the whole -------------------------------------------------

# Rows of the replay queue. Alert on dead, and on waiting that does not fall.
QUEUE_ROWS: Final = Gauge("fastcore_queue_rows", "Rows of the replay queue.", ["stage", "state"])
# Age of the oldest row that is waiting or replaying; 0 where there is none.
QUEUE_OLDEST: Final = Gauge("fastcore_queue_oldest_seconds", "Age of the oldest open row.", ["stage"])
# What the books of a stage say less what its table holds. Not 0: alert, something was lost or doubled.
LEDGER_DRIFT: Final = Gauge("fastcore_ledger_drift_rows", "Books less rows.", ["stage", "identity"])
# Records that Kafka no longer held when a stage came for them. Not 0: alert.
LEDGER_MISSING: Final = Gauge(
    "fastcore_ledger_missing_records", "Records lost before we read them.", ["stage"]
)
# Records between a group's committed offsets and the ends, also while its consumers are dead; absent
# where Kafka does not say. Alert where it grows.
GROUP_LAG: Final = Gauge("fastcore_group_lag_records", "Records not committed yet.", ["group", "topic"])
# How long the oldest of them has waited, to the look before (15 s), counted from this process's start.
GROUP_OLDEST: Final = Gauge(
    "fastcore_group_oldest_seconds", "Age of the oldest record not committed yet.", ["group"]
)
# 1 where a stage's breaker is open: nearly everything that it took died, so it stands until a person looks.
STAGE_PAUSED: Final = Gauge("fastcore_stage_paused", "The stage's breaker is open.", ["stage"])
# When each scheduled job ended last, in seconds since 1970. Told by admin: the flushers may all be dead.
JOB_LAST_RUN: Final = Gauge("fastcore_job_last_run_timestamp_seconds", "End of the last run.", ["name"])
# When it is due next. Alert where that is past.
JOB_NEXT_RUN: Final = Gauge("fastcore_job_next_run_timestamp_seconds", "The next run is due.", ["name"])
# 1 where its last run succeeded.
JOB_SUCCEEDED: Final = Gauge("fastcore_job_last_run_succeeded", "The last run succeeded.", ["name"])

# --- the gateway ---------------------------------------------------------------------------------

# Leads answered with 201: received, spam (kept apart), or replayed (a known key, published before).
LEADS_ACCEPTED: Final = Counter("fastcore_leads_accepted_total", "Leads accepted.", ["outcome"])
# Requests to POST /inbound/leads that got another answer, by the word of their problem.
REQUESTS_REJECTED: Final = Counter("fastcore_requests_rejected_total", "Requests refused.", ["code"])
# From handing a lead to Kafka to its acknowledgement, or to giving up.
PUBLISH_SECONDS: Final = Histogram(
    "fastcore_publish_seconds",
    "Time until Kafka acknowledged a lead.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0),
)
# Audit entries about refused requests that were not published: too many at once, or Kafka away.
AUDIT_DROPPED: Final = Counter("fastcore_audit_dropped_total", "Audit entries dropped.")

# --- the notifier --------------------------------------------------------------------------------

# Mails that came to an outcome, by kind (welcome, admin_alert) and state (sent, waiting, dead, unknown,
# suppressed). A fault of the world is no outcome: it shows in the pauses.
MAILS: Final = Counter("fastcore_mails_total", "Mails settled.", ["kind", "outcome"])
# One try with the mail server, from asking for a session to its last answer.
MAIL_SECONDS: Final = Histogram(
    "fastcore_mail_seconds", "Time of one try.", buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 45)
)

# How many mails a second a notifier starts at most: FASTCORE_NOTIFIER_MAILS_PER_SECOND, or less where the
# provider's replies said so. +Inf: nothing limits it.
MAIL_RATE: Final = Gauge("fastcore_mail_rate_limit_per_second", "Mails a second that may be started.")
# Replies that said: not so many, or not so quickly. Each slows the notifier down; the mail is sent again.
MAILS_THROTTLED: Final = Counter("fastcore_mails_throttled_total", "Rate-limit replies of the mail server.")

# --- the gateway's spool -------------------------------------------------------------------------

# Leads on this gateway's disk that Kafka has not acknowledged yet. 0 in quiet times; a file that cannot be
# read counts as at least one.
SPOOL_LEADS: Final = Gauge("fastcore_spool_leads", "Leads in the spool.")
# Disk that they take; beyond FASTCORE_INGEST_SPOOL_MAX_BYTES the gateway answers 503.
SPOOL_BYTES: Final = Gauge("fastcore_spool_bytes", "Disk taken by the spool.")
# How full the spool is, 0 to 1: the greater of leads and bytes against their bounds. At 1 leads are refused.
SPOOL_FULL: Final = Gauge("fastcore_spool_full_ratio", "Share of the spool that is taken.")
# How long the oldest of them has waited; grows as long as Kafka is away.
SPOOL_OLDEST_AGE: Final = Gauge("fastcore_spool_oldest_age_seconds", "Age of the oldest spooled lead.")
# Leads that went through the spool, since the start.
LEADS_SPOOLED: Final = Counter("fastcore_leads_spooled_total", "Leads spooled.")
# Lines that were not what was written (a disk that lies), or that Kafka will never take. The file is kept
# beside, as .damaged.
SPOOL_DAMAGED: Final = Counter("fastcore_spool_damaged_total", "Damaged lines in the spool.")
# Such files on the disk, also those from before the start. Not 0: look at them, a lead may be in one.
SPOOL_DAMAGED_FILES: Final = Gauge("fastcore_spool_damaged_files", "Damaged files in the spool's folder.")

# --- the flusher ---------------------------------------------------------------------------------

# Records sent to a stage again. Cause: automatic (burns a retry), requested (by an admin), overdue
# (sent an hour ago, and no word since: the stage is away or lost it).
REPLAYS: Final = Counter("fastcore_replays_sent_total", "Records sent again.", ["stage", "cause"])
# Rows that became dead: final, or out of retries. Each wants a person.
DEAD: Final = Counter("fastcore_leads_dead_total", "Leads that a stage gave up on.", ["stage"])
