#!/bin/sh
# Starts Caddy. Refuses versions that answer 502 to each POST that they retry (caddyserver/caddy#7546).
set -eu
oldest=2.11.2
version=$(caddy version | sed 's/^v//; s/[^0-9.].*//')
if [ "$(printf '%s\n%s\n' "$version" "$oldest" | sort -V | head -n 1)" != "$oldest" ]; then
  echo "EDGE_IMAGE has Caddy $version, which refuses leads while a gateway restarts: use $oldest or newer" >&2
  exit 1
fi
exec caddy run --config /etc/caddy/Caddyfile --adapter caddyfile
