#!/bin/sh
# Backs up the database. A backup counts only when it was restored, into an empty server that lives as long as the check.
#
#   backup.sh once      make a backup
#   backup.sh daily     make one, and then another one every day (compose)
#
# It needs the programs of the image `postgres`, in the version of the server, and a user that is not root. The outcome is
# the job `backup` of the table scheduled_job: the dashboard and the doctor show it, and JobNotRun fires if it fails or is late.
#
#   FASTCORE_MIGRATION_DATABASE_URL   the database, as its owner
#   FASTCORE_BACKUP_FOLDER            the folder of the backups, such as fastcore-20261130T030000Z.dump
#   FASTCORE_BACKUP_KEEP_DAYS         how long they are kept (14)
#   FASTCORE_BACKUP_HOURS             the time between two backups (24)
#   FASTCORE_BACKUP_DUMP_SECONDS      how long pg_dump may take (7200)
#   FASTCORE_BACKUP_SCHEDULE          what the dashboard shows as their schedule (Every day)
set -eu
umask 077  # a backup has personal data

url=$FASTCORE_MIGRATION_DATABASE_URL
folder=$FASTCORE_BACKUP_FOLDER
keep_days=${FASTCORE_BACKUP_KEEP_DAYS:-14}
hours=${FASTCORE_BACKUP_HOURS:-24}
schedule=${FASTCORE_BACKUP_SCHEDULE:-Every day}
retry_seconds=600
expired=+$((keep_days - 1))  # before any work, so that a value that is no number changes nothing
# A server that hangs answers nothing, for ever. Two hours are the time that a backup may take (`record`).
export PGCONNECT_TIMEOUT=10
dump_seconds=${FASTCORE_BACKUP_DUMP_SECONDS:-7200}

sql() { timeout -k 5 60 psql "$@" --no-psqlrc --quiet --tuples-only --no-align --set=ON_ERROR_STOP=1; }

# record OUTCOME DETAILS: write the job's run. Two hours are the time that a backup may take.
record() {
  sql "$url" --set=outcome="$1" --set=details="$2" --set=seconds="$seconds" --set=hours="$hours" --set=schedule="$schedule" <<'SQL'
INSERT INTO scheduled_job AS job (name, schedule, runs, last_started_at, last_finished_at, last_outcome, last_duration_ms,
                                  last_details, next_run_at)
VALUES ('backup', :'schedule', 1, now() - make_interval(secs => :seconds), now(), :'outcome', :seconds * 1000,
        :'details', now() + make_interval(hours => :hours + 2))
ON CONFLICT (name) DO UPDATE
SET schedule = excluded.schedule, runs = job.runs + 1, last_started_at = excluded.last_started_at,
    last_finished_at = excluded.last_finished_at, last_outcome = excluded.last_outcome,
    last_duration_ms = excluded.last_duration_ms, last_details = excluded.last_details,
    next_run_at = CASE WHEN excluded.last_outcome = 'succeeded' THEN excluded.next_run_at ELSE job.next_run_at END;
SQL
}

# restore DUMP: restore it into a new server, compare rows with their counters, and print how many there are.
# Roles and rights are not restored: `migrate` gives them again. It ends at the first command that fails (`set -e` does not
# hold for a function of which the caller asks whether it failed).
restore() {
  initdb --pgdata="$server" --username=postgres --auth=trust --encoding=UTF8 --no-locale --no-sync >&2 || return
  pg_ctl --pgdata="$server" --log="$scratch/log" --wait --timeout=120 \
    --options="-c listen_addresses= -c unix_socket_directories=$scratch -c fsync=off -c full_page_writes=off -c autovacuum=off" \
    start >&2 || return
  pg_restore --no-owner --no-privileges --exit-on-error --dbname="host=$scratch user=postgres dbname=postgres" "$1" >&2 || return
  sql "host=$scratch user=postgres dbname=postgres" <<'SQL'
SELECT json_build_object('leads', leads, 'audit_entries', (SELECT count(*) FROM audit_log),
                         'migration', (SELECT max(name) FROM schema_migration))
FROM (SELECT count(*) FROM lead_inbox) AS counted (leads)
WHERE leads = (SELECT coalesce(sum(rows), 0) FROM row_count WHERE table_name = 'lead_inbox');
SQL
}

# The dump and the restored database need at most a quarter more than the database. The disk may be the database's own.
check_room() {
  needed=$(sql "$url" --command='SELECT pg_database_size(current_database()) / 1024 * 5 / 4') || return 0  # pg_dump reports why
  free=$(df -Pk "$folder" | awk 'NR == 2 {print $4}')
  [ "$free" -ge "$needed" ] || failed="the folder has $((free / 1024)) MB, and a backup may need $((needed / 1024 + 1))"
}

end_server() {
  if [ -f "$server/postmaster.pid" ]; then pg_ctl --pgdata="$server" --mode=immediate --wait stop >&2 || true; fi
  rm -rf "$scratch" "$server" "$part"
}

back_up() {
  started=$(date +%s)
  name=fastcore-$(date -u +%Y%m%dT%H%M%SZ).dump
  part=$folder/.$name.part
  server=$folder/.restored
  scratch=$(mktemp -d)  # for the socket, whose path must be short
  trap 'rm -rf "$scratch"' EXIT
  trap 'exit 1' TERM INT

  failed=
  if ! touch "$folder/.lock"; then
    failed='the folder cannot be written'
  else
    # Beside another run, this one would delete its files. No other program gets the lock: a server that outlives the script must not keep it.
    exec 9>"$folder/.lock"
    flock -n 9 || { echo "No backup: another one is made in $folder" >&2; exit 1; }
    rm -rf "$folder"/.fastcore-*.part "$server"  # of a run that was killed
    trap end_server EXIT
    check_room 9>&-
  fi
  if [ -z "$failed" ]; then
    # The extensions that FASTCore uses. A provider's can be created neither in the empty server nor by the owner.
    timeout -k 10 "$dump_seconds" pg_dump --format=custom --no-owner --extension=plpgsql --extension=pg_trgm \
      --lock-wait-timeout=60s --file="$part" "$url" 9>&- || failed='pg_dump failed: see the log'
  fi
  if [ -z "$failed" ]; then
    found=$(restore "$part" 9>&-) || failed='the dump cannot be restored: see the log'
    [ -n "$failed" ] || [ -n "$found" ] || failed='the restored leads differ from their counter'
  fi
  seconds=$(($(date +%s) - started))
  if [ -n "$failed" ]; then
    echo "No backup: $failed" >&2
    record failed "{\"reason\": \"$failed\"}"
    exit 1
  fi
  sync "$part"
  mv "$part" "$folder/$name"
  find "$folder" -name 'fastcore-*.dump' ! -name "$name" -mtime "$expired" -delete
  bytes=$(wc -c <"$folder/$name")
  record succeeded "$(printf '%s' "$found" | sed "s/}\$/, \"file\": \"$name\", \"bytes\": $bytes}/")"
  echo "Backed up and restored: $folder/$name, $bytes bytes, $found, in $seconds s"
}

if [ "${1:-}" != daily ]; then
  back_up
  exit
fi
# The waits are in the background, because a shell handles a signal only between two commands.
trap 'kill "$child" 2>/dev/null; exit 0' TERM INT
while :; do
  wait_seconds=60
  # Without the schema there is nothing to back up yet: `migrate` may still run.
  if [ -z "$(find "$folder" -name 'fastcore-*.dump' -mmin "-$((hours * 60))")" ] &&
    sql "$url" --command='SELECT 1 FROM schema_migration LIMIT 1' >/dev/null; then
    "$0" &
    child=$!
    wait "$child" || wait_seconds=$retry_seconds
  fi
  sleep "$wait_seconds" &
  child=$!
  wait "$child"
done
