#!/bin/sh
# Replaces the composed services by the image that docker-compose.yml names now, without refusing a lead:
#   docker compose build                 # or another FASTCORE_IMAGE in .env, and: docker compose pull
#   sh deploy/compose/upgrade.sh
# It migrates the schema, replaces the gateways one by one, then the other services. Each service keeps its number of
# containers. Set COMPOSE_ENV_FILES and COMPOSE_FILE in place of the options --env-file and --file.
set -eu
cd "$(dirname "$0")/../.."
wait_seconds=${WAIT_SECONDS:-400}
# The services drain within 50 s (ARCHITECTURE.md).
grace_seconds=60

containers() { docker compose ps --quiet "$1"; }
count() { containers "$1" | wc -l | tr -d ' '; }
up() { docker compose up --detach --wait --wait-timeout "$wait_seconds" "$@"; }

old=$(containers ingest)
if [ -z "$old" ]; then
  echo "No gateway runs: start FASTCore with docker compose up --detach --wait" >&2
  exit 1
fi

echo "Migrating"
docker compose run --rm migrate

gateways=$(count ingest)
echo "Starting $gateways new gateway(s) beside the old"
up --no-deps --no-recreate --scale "ingest=$((gateways * 2))" ingest
for container in $old; do
  echo "Stopping an old gateway"
  # It completes the requests that it has accepted. The edge sends those that it refuses to another gateway.
  docker stop --time "$grace_seconds" "$container" >/dev/null
  docker rm --volumes "$container" >/dev/null
done

set -- --scale "ingest=$gateways"
for service in persister notifier flusher admin; do
  set -- "$@" --scale "$service=$(count "$service")"
done
echo "Replacing the other services"
up "$@"
echo "Upgraded. Check it: docker compose run --rm doctor"
