#!/bin/sh
# The command selects the role: a service, `all` services in one process, `migrate`, or any program.
# Without one, all services run in one process, behind the edge.
set -eu
case ${1:-} in
  ingest | persister | notifier | webhooks | flusher | admin | all) exec python -m services "$@" ;;
  migrate) python -m deploy.cli.migrate && exec python -m deploy.cli.topics ;;
  '') exec python -m deploy.container.all_in_one ;;
  *) exec "$@" ;;
esac
