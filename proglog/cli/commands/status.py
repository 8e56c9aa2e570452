"""Show one agent: its log, what it has of whose records, and how replication goes."""

from proglog.cli import snapshots, tables

main = snapshots.verb(tables.status, tables.STATUS, whole=tables.status_data)
