#!/bin/sh
# The command selects the role: a service, `all` services in one process, `migrate`, `mailbox`, or any program.
# Without one, all services run in one process, behind the edge.
set -eu
case ${1:-} in
  ingest | persister | notifier | webhooks | flusher | admin | all) exec python -m services "$@" ;;
  migrate) python -m deploy.cli.migrate && exec python -m deploy.cli.topics ;;
  mailbox) exec python -m deploy.embedded.mailbox --host 0.0.0.0 --folder /var/lib/fastcore/mails ;;
  '') exec python -m deploy.container.all_in_one ;;
  *) exec "$@" ;;
esac
