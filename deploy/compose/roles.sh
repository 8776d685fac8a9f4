#!/bin/bash
# Creates two roles: the owner, who migrates, and the services' role, whose rights deploy.cli.migrate grants.
# PostgreSQL's image runs it once, on an empty volume.
set -euo pipefail
psql -v ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres --no-psqlrc \
  --set owner="$FASTCORE_OWNER_PASSWORD" --set service="$FASTCORE_SERVICE_PASSWORD" <<'SQL'
CREATE ROLE fastcore_owner LOGIN PASSWORD :'owner';
CREATE ROLE fastcore LOGIN PASSWORD :'service';
CREATE DATABASE fastcore OWNER fastcore_owner;
SQL
