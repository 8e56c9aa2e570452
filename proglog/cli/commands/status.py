"""Show an agent's log, the origins it holds, and the state of replication.

proglog status
proglog status -o json
"""

from proglog.cli import snapshots, tables

SHAPES = (tables.STATUS_SHAPE,)
main = snapshots.verb(tables.status, tables.STATUS, whole=tables.status_shape, shape=tables.STATUS_SHAPE)
