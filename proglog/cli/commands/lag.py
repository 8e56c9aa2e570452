"""Show how far copies trail their sources, per peer and origin: this node behind the peer, and the peer behind it.

proglog lag
proglog lag -o jsonl
"""

from proglog.cli import snapshots, tables

SHAPES = (tables.LAG_SHAPE,)
main = snapshots.verb(tables.lag, tables.LAG)
