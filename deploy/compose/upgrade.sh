#!/bin/sh
# Replaces the composed services by the image that docker-compose.yml names now, without refusing a lead:
#   docker compose build                 # or another FASTCORE_IMAGE in .env, and: docker compose pull
#   sh deploy/compose/upgrade.sh
# It migrates the schema, replaces the services that read leads, then the gateways one by one: a new version reads what an
# older one writes, and not the other way round. Each service keeps its number of containers. Set COMPOSE_ENV_FILES and COMPOSE_FILE in place of the options --env-file and --file.
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

set --
for service in persister notifier webhooks flusher admin; do
  set -- "$@" --scale "$service=$(count "$service")"
done
echo "Replacing the services that read leads"
up --no-deps "$@" persister notifier webhooks flusher admin

gateways=$(count ingest)
echo "Starting $gateways new gateway(s) beside the old"
up --no-deps --no-recreate --scale "ingest=$((gateways * 2))" ingest
for container in $old; do
  echo "Stopping an old gateway"
  # It completes the requests that it has accepted. The edge sends those that it refuses to another gateway.
  docker stop --time "$grace_seconds" "$container" >/dev/null
  docker rm --volumes "$container" >/dev/null
done

echo "Replacing the edge and the servers, if they changed"
up --scale "ingest=$gateways" "$@"
echo "Upgraded. Check it: docker compose run --rm doctor"
