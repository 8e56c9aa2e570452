"""List the members of the cluster, as one agent sees them.

proglog members
proglog members -o plain | cut -f 1,2
"""

from proglog.cli import snapshots, tables

SHAPES = (tables.MEMBERS_SHAPE,)
main = snapshots.verb(tables.members, tables.MEMBERS)
