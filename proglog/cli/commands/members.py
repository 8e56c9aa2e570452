"""List the members of the cluster, as one agent sees them."""

from proglog.cli import snapshots, tables

main = snapshots.verb(tables.members, tables.MEMBERS)
