"""Show how far copies trail their sources, per peer and origin: this node behind the peer, and the other way round."""

from proglog.cli import snapshots, tables

main = snapshots.verb(tables.lag, tables.LAG)
