#!/bin/sh
# Create both databases of Temporal and upgrade their schemas to this version; safe to run again.
set -eu

for database in temporal temporal_visibility; do
  case "$database" in
    temporal) schema=temporal ;;
    *) schema=visibility ;;
  esac
  sql() { temporal-sql-tool --plugin postgres12 --ep postgresql --port 5432 --user temporal --database "$database" "$@"; }
  sql create
  sql setup-schema --version 0.0 || echo "schema of $database exists, upgrading it"
  sql update-schema --schema-dir "/etc/temporal/schema/postgresql/v12/$schema/versioned"
done
