"""Show how far copies trail their sources, per peer and origin: this node behind the peer, and the peer behind it."""

from proglog.cli import snapshots, tables

main = snapshots.verb(tables.lag, tables.LAG)
