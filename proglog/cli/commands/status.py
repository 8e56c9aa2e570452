"""Show an agent's log, the origins it holds, and the state of replication."""

from proglog.cli import snapshots, tables

main = snapshots.verb(tables.status, tables.STATUS, whole=tables.status_data)
