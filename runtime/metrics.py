"""All metrics, named `fastcore_<noun>_<unit>[_total]`. No label ever contains an id or an email address.

The comments become docs/metrics.md (`make docs`).
"""

from typing import Final

from prometheus_client import values

from runtime.service_metrics import Counter, Gauge, Histogram
from runtime.worker import current_worker

if (_worker := current_worker()) is not None:
    # By worker number, not by process id, so that a successor continues the counters. This must run before
    # the first metric is created. `multiprocess_mode` applies to workers only.
    _number = _worker.number
    values.ValueClass = values.MultiProcessValue(lambda: _number)  # type: ignore[no-untyped-call]

# --- every service -------------------------------------------------------------------------------

# 1 if a part that the process needs (database, kafka, smtp, consumer) works, else 0. Checked at each scrape.
PART_UP: Final = Gauge("fastcore_part_up", "A required part works.", ["part"], multiprocess_mode="livemin")
# 1, with the version and the revision of the code (unknown outside of an image), and Python's version.
BUILD: Final = Gauge(
    "fastcore_build_info",
    "What runs.",
    ["version", "revision", "python_version"],
    multiprocess_mode="livemax",
)
# Time of a request, from its head to the end of the response. The route is a template such as
# `/admin/leads/{lead_id}`, or `unmatched`. The status is its class, such as 2xx. Health checks and this page
# are not counted.
HTTP_SECONDS: Final = Histogram(
    "fastcore_http_request_seconds",
    "Time of a request.",
    ["method", "route", "status"],
    buckets=(0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
# 1, with the first 12 digits of the digest of the sites file that applies. All replicas show the same digest.
# Absent without a sites file.
SITES_FILE: Final = Gauge(
    "fastcore_sites_file_info", "The sites file that applies.", ["digest"], multiprocess_mode="livemax"
)
# 1 if the sites file was changed and is invalid now: the version before still applies. Alert if it stays 1.
SITES_FILE_INVALID: Final = Gauge(
    "fastcore_sites_file_invalid", "The changed sites file is invalid.", multiprocess_mode="livemax"
)

# --- every service with a database ---------------------------------------------------------------

# Connections to PostgreSQL in use now. Alert if it stays at fastcore_pool_max_connections.
POOL_IN_USE: Final = Gauge("fastcore_pool_connections_in_use", "Connections in use.")
# Open connections that nobody uses. Services of one process share them, so each of these reports all.
POOL_IDLE: Final = Gauge("fastcore_pool_connections_idle", "Idle connections.")
# The largest number of connections that this service may use.
POOL_MAX: Final = Gauge("fastcore_pool_max_connections", "Limit of the pool.")
# Time until a connection was acquired, or the attempt failed. A new connection includes its login.
POOL_ACQUIRE_SECONDS: Final = Histogram(
    "fastcore_pool_acquire_seconds",
    "Time to acquire a connection.",
    buckets=(0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10),
)
# Attempts to acquire a connection that ended without one: the pool is exhausted, or no server answers.
POOL_FAILURES: Final = Counter("fastcore_pool_acquire_failures_total", "Failed attempts to get a connection.")

# --- every consumer ------------------------------------------------------------------------------

# Records that were consumed and completed, by topic.
RECORDS: Final = Counter("fastcore_records_total", "Records completed.", ["topic"])
# Records per batch: near 1 without a backlog, near the maximum while a backlog drains.
BATCH_RECORDS: Final = Histogram(
    "fastcore_batch_records", "Records per batch.", buckets=(1, 2, 5, 10, 50, 100, 500, 2000)
)
# Time to process a batch. Its offsets are committed afterwards, in the background.
BATCH_SECONDS: Final = Histogram("fastcore_batch_seconds", "Time to process a batch.")
# Pauses because a dependency was unavailable, by dependency.
PAUSES: Final = Counter("fastcore_pauses_total", "Pauses of the consumer.", ["part"])
# Failed records published to leads.failed.v1. `final` is true if no retry can help.
PARKED: Final = Counter("fastcore_records_parked_total", "Failed records published.", ["final"])
# Unexpected exceptions while a record was processed. Each is a bug to investigate.
BUGS: Final = Counter("fastcore_bugs_total", "Unexpected exceptions in a handler.")
# Records between the committed offset and the end of the partition, measured every 15 s.
LAG: Final = Gauge("fastcore_lag_records", "Consumer lag.", ["topic", "partition"])

# Partitions whose ledger was repaired. Cause: database (it was rolled back, so committed records are read
# again) or log (it lost its tail, or the topic was created again). Alert if it is not 0.
LEDGER_REWINDS: Final = Counter(
    "fastcore_ledger_rewinds_total", "Ledgers that no longer matched Kafka.", ["cause"]
)

# --- the admin service, for the whole pipeline ---------------------------------------------------

# Rows of the replay queue, by state. Alert on dead rows, and if the waiting rows do not decrease.
QUEUE_ROWS: Final = Gauge("fastcore_queue_rows", "Rows of the replay queue.", ["stage", "state"])
# Notifications to the team that failed permanently and were neither retried nor archived. Alert on any:
# somebody does not hear of a lead. Confirmations are not counted: their addresses may be mistyped.
DEAD_NOTIFICATIONS: Final = Gauge(
    "fastcore_dead_notifications", "Team notifications that failed permanently."
)
# Age of the oldest row that is waiting or replaying; 0 if there is none.
QUEUE_OLDEST: Final = Gauge("fastcore_queue_oldest_seconds", "Age of the oldest open row.", ["stage"])
# Records that the ledger counts minus rows in the stage's table. Alert if it is not 0: rows were lost or
# duplicated.
LEDGER_DRIFT: Final = Gauge("fastcore_ledger_drift_rows", "Ledger count minus rows.", ["stage", "identity"])
# Records that Kafka deleted before the stage read them. Alert if it is not 0.
LEDGER_MISSING: Final = Gauge(
    "fastcore_ledger_missing_records", "Records deleted before they were read.", ["stage"]
)
# Records between a group's committed offsets and the ends of the logs. Also measured if no consumer of the
# group runs. Absent while Kafka does not answer. Alert if it grows.
GROUP_LAG: Final = Gauge("fastcore_group_lag_records", "Lag of the consumer group.", ["group", "topic"])
# How long the oldest of these records has waited, accurate to 15 s, at most since this process started.
GROUP_OLDEST: Final = Gauge(
    "fastcore_group_oldest_seconds", "Age of the oldest record not committed yet.", ["group"]
)
# 1 if a stage is paused: its circuit breaker opened because most records failed, and an admin must resume it.
STAGE_PAUSED: Final = Gauge("fastcore_stage_paused", "The stage's circuit breaker is open.", ["stage"])
# When each scheduled job last ended, in seconds since 1970. Reported by admin, as all flushers may be dead.
JOB_LAST_RUN: Final = Gauge("fastcore_job_last_run_timestamp_seconds", "End of the last run.", ["name"])
# When the job is due next. Alert if that time has passed.
JOB_NEXT_RUN: Final = Gauge("fastcore_job_next_run_timestamp_seconds", "When the next run is due.", ["name"])
# 1 if the job's last run succeeded.
JOB_SUCCEEDED: Final = Gauge("fastcore_job_last_run_succeeded", "The last run succeeded.", ["name"])

# 1 for each site whose share of spam has risen: more than half of the leads of the last 24 hours are spam,
# and the share is at least twice that of the seven days before. Alert if it lasts: if a field of a form is
# broken, every lead becomes spam.
SPAM_RISEN: Final = Gauge("fastcore_site_spam_risen", "The site's share of spam has risen.", ["site"])
# Open incidents, by severity (bad: something fails, amber: something waits) and by whether somebody takes
# care of them. Alert on those that nobody has acknowledged.
INCIDENTS: Final = Gauge("fastcore_open_incidents", "Open incidents.", ["severity", "acknowledged"])

# The canaries in a row, up to the newest, that failed at a hop of a site's route (docs/canary.md). From 2 on
# the hop fails; one may meet a restart. Without a site: the flusher, which sends no canary, or the database.
CANARY_FAILURES: Final = Gauge(
    "fastcore_canary_failures", "Canaries in a row that failed at a hop.", ["site", "route", "hop"]
)
# The time from the post of the newest canary until a hop had it.
CANARY_SECONDS: Final = Gauge(
    "fastcore_canary_seconds", "Time of the newest canary to a hop.", ["site", "route", "hop"]
)

# --- the gateway ---------------------------------------------------------------------------------

# Leads answered with 201. Outcome: received, held (beyond a limit), spam (stored separately) or replayed (the
# key is known, and the lead was published before).
LEADS_ACCEPTED: Final = Counter("fastcore_leads_accepted_total", "Leads accepted.", ["outcome"])
# Requests to a route that accepts leads with any other response, by the code of the problem.
REQUESTS_REJECTED: Final = Counter("fastcore_requests_rejected_total", "Requests rejected.", ["code"])
# Time from publishing a lead to Kafka until its acknowledgement or the timeout.
PUBLISH_SECONDS: Final = Histogram(
    "fastcore_publish_seconds",
    "Time until Kafka acknowledged a lead.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0),
)
# Audit entries about rejected requests that were not published: too many at once, or Kafka was unavailable.
AUDIT_DROPPED: Final = Counter("fastcore_audit_dropped_total", "Audit entries dropped.")

# Workers of this gateway that do not answer. Always 0 if FASTCORE_INGEST_WORKERS is 1. Alert if it stays
# above 0.
WORKERS_MISSING: Final = Gauge(
    "fastcore_workers_missing", "Workers that do not answer.", multiprocess_mode="livemostrecent"
)

# --- the notifier --------------------------------------------------------------------------------

# Emails with an outcome (sent, waiting, dead, unknown, suppressed), by kind (welcome, admin_alert, and
# alert_digest and held_digest for lists of new and of held leads). The alerts in a list count as admin_alert
# too. An unavailable mail server is no outcome: it counts as a pause.
MAILS: Final = Counter("fastcore_mails_total", "Emails with an outcome.", ["kind", "outcome"])
# Emails of the last hour by their last outcome, from the database: sent, waiting (deferred), dead (refused),
# unknown, bounced, complained. Each email counts once.
MAILS_LAST_HOUR: Final = Gauge(
    "fastcore_mails_last_hour", "Emails of the last hour.", ["site", "kind", "outcome"]
)
# Emails of the last hour that failed, of sites and kinds whose emails still fail, by what the servers say.
# The reply has no address, name or id. No series once three emails in a row were sent.
MAILS_FAILING: Final = Gauge("fastcore_mails_failing", "Emails that fail now.", ["site", "kind", "reply"])
# One attempt at the mail server, from acquiring a session to the last reply.
MAIL_SECONDS: Final = Histogram(
    "fastcore_mail_seconds",
    "Time of one attempt.",
    buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 45),
)

# Connections to the mail server: in_use (an email is being sent) or idle (kept for the next one).
MAIL_CONNECTIONS: Final = Gauge("fastcore_mail_connections", "Connections to the mail server.", ["state"])
# Current limit of emails per second of a notifier: FASTCORE_NOTIFIER_MAILS_PER_SECOND, or less after
# rate-limit replies of the provider. +Inf means no limit.
MAIL_RATE: Final = Gauge(
    "fastcore_mail_rate_limit_per_second", "Limit of emails per second.", multiprocess_mode="livemax"
)
# Replies of the mail server that it receives too many emails, or too quickly. Each slows the notifier down,
# and the email is sent again.
MAILS_THROTTLED: Final = Counter("fastcore_mails_throttled_total", "Rate-limit replies of the mail server.")

# Emails sent without the DKIM signature that is configured for their sender, because signing failed.
MAILS_UNSIGNED: Final = Counter("fastcore_mails_unsigned_total", "Emails that could not be signed.")

# Witnesses who did not get the checkpoint of the audit log that was last sent.
AUDIT_WITNESSES_MISSING: Final = Gauge(
    "fastcore_audit_witnesses_missing", "Witnesses without the last checkpoint.", multiprocess_mode="livemax"
)

# --- destinations ------------------------------------------------------------------------

# Attempts at a destination, by the state of the delivery afterwards: delivered, failed (it is sent again) or
# dead.
WEBHOOK_DELIVERIES: Final = Counter(
    "fastcore_webhook_deliveries_total", "Attempts at a destination.", ["destination", "outcome"]
)
# Deliveries that wait for a destination, at most 10,000. Reported by admin.
DESTINATION_WAITING: Final = Gauge("fastcore_destination_waiting", "Deliveries that wait.", ["destination"])
# Deliveries without retries left, at most 10,000. A person must look at them. Reported by admin.
DESTINATION_DEAD: Final = Gauge(
    "fastcore_destination_dead", "Deliveries without retries left.", ["destination"]
)
# 1 if a destination of the sites file is paused after failures in a row, or is disabled. Reported by admin.
DESTINATION_FAILING: Final = Gauge(
    "fastcore_destination_failing", "The destination takes no deliveries.", ["destination"]
)
# Changes of leads that are not published to leads.changed.v1 yet. Normally 0. Reported by admin.
OUTBOX_ROWS: Final = Gauge(
    "fastcore_outbox_rows", "Changes of leads that are not published.", multiprocess_mode="livemax"
)
# Age of the oldest of them. Reported by admin.
OUTBOX_OLDEST: Final = Gauge(
    "fastcore_outbox_oldest_seconds", "Age of the oldest unpublished change.", multiprocess_mode="livemax"
)
# Partitions of the audit log that the flusher should have created ahead of the entries. Normally 0; 1 if a
# single one is left, and 2 if none is: without the next one, no lead is stored. Reported by admin.
AUDIT_PARTITIONS_MISSING: Final = Gauge(
    "fastcore_audit_partitions_missing", "Missing partitions ahead.", multiprocess_mode="livemax"
)
# One attempt, from connecting to the end of the response.
WEBHOOK_SECONDS: Final = Histogram(
    "fastcore_webhook_seconds",
    "Time of one attempt.",
    ["destination"],
    buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15),
)

# --- the gateway's spool -------------------------------------------------------------------------

# Leads in this gateway's spool that Kafka has not acknowledged yet. Normally 0. A file that cannot be read
# counts as at least one.
SPOOL_LEADS: Final = Gauge("fastcore_spool_leads", "Leads in the spool.", multiprocess_mode="livemostrecent")
# Disk space that the spool uses; beyond FASTCORE_INGEST_SPOOL_MAX_BYTES the gateway answers 503.
SPOOL_BYTES: Final = Gauge(
    "fastcore_spool_bytes", "Disk space used by the spool.", multiprocess_mode="livemostrecent"
)
# How full the spool is, from 0 to 1: the larger of leads and bytes relative to their limits. At 1 leads are
# rejected.
SPOOL_FULL: Final = Gauge(
    "fastcore_spool_full_ratio", "Used share of the spool.", multiprocess_mode="livemostrecent"
)
# Age of the oldest spooled lead; it grows while Kafka is unavailable.
SPOOL_OLDEST_AGE: Final = Gauge(
    "fastcore_spool_oldest_age_seconds", "Age of the oldest spooled lead.", multiprocess_mode="livemax"
)
# Leads that went through the spool since the process started.
LEADS_SPOOLED: Final = Counter("fastcore_leads_spooled_total", "Leads spooled.")
# Lines whose checksum was wrong (a faulty disk), or that Kafka will never accept. The file stays as .damaged.
SPOOL_DAMAGED: Final = Counter("fastcore_spool_damaged_total", "Damaged lines in the spool.")
# Such files on the disk, including those from before the start. If it is not 0, examine them: they may hold
# a lead.
SPOOL_DAMAGED_FILES: Final = Gauge(
    "fastcore_spool_damaged_files", "Damaged files in the spool's folder.", multiprocess_mode="livemax"
)

# --- emails that come back -----------------------------------------------------------------------

# Events of mail providers, by result: published, ignored (no bounce or complaint), soft (the provider tries
# again), unmatched (not one of our emails), forged (a wrong signature or secret) or invalid.
MAIL_EVENTS_RECEIVED: Final = Counter(
    "fastcore_mail_events_received_total", "Events of mail providers.", ["provider", "result"]
)
# Events that the flusher applied, by result: bounced, complained, unchanged (the state stays), repeated,
# unknown (no such email), listed (a digest; its alerts get events of their own), held_digest (a list of
# held leads came back), undecodable or failed.
MAIL_EVENTS_APPLIED: Final = Counter(
    "fastcore_mail_events_applied_total", "Mail events applied.", ["source", "result"]
)

# --- the flusher ---------------------------------------------------------------------------------

# Entries of the audit log that are sealed, as the process last saw it. 0 without FASTCORE_AUDIT_SIGNING_KEY.
AUDIT_SEALED_ENTRIES: Final = Gauge(
    "fastcore_audit_sealed_entries", "Sealed entries of the audit log.", multiprocess_mode="livemax"
)
# 1 if the sealer refuses to sign: the audit log does not continue what was signed before. Alert if it is 1.
AUDIT_SEAL_REFUSED: Final = Gauge(
    "fastcore_audit_seal_refused", "The sealer refuses to sign.", multiprocess_mode="livemax"
)
# Differences between the audit log and its seal, found by the last check. Alert if it is not 0.
AUDIT_DIFFERENCES: Final = Gauge(
    "fastcore_audit_differences", "Differences in the sealed audit log.", multiprocess_mode="livemax"
)

# Records sent to a stage again. Cause: automatic (counts as a retry), requested (by an admin) or overdue
# (sent an hour ago without a result: the stage is down or lost the record).
REPLAYS: Final = Counter("fastcore_replays_sent_total", "Records sent again.", ["stage", "cause"])
# Rows that became dead: no retry can help, or the retries are used up. A person must look at each.
DEAD: Final = Counter("fastcore_leads_dead_total", "Failed records without retries left.", ["stage"])
