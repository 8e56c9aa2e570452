"""The matrix of who holds how much: whatever the number of nodes, what is missing stands out."""

from dataclasses import replace

import pytest

from proglog.observe.spans import Locale, plain
from proglog.tui.panels.replication import matrix
from proglog.tui.state import DashState, SnapshotArrived, reduce
from proglog.tui.table import column_widths, render_cells
from proglog.wire.model import ClusterSnapshot

NOW = 1_790_000_000.0


def _cluster(world, nodes: int, missing: dict[tuple[str, int], int]) -> DashState:
    """``nodes`` nodes with 1,000 records each; ``missing`` says how many of whose records a node lacks."""
    snapshot: ClusterSnapshot = world.snapshot()
    names = [f"node-{number:02}" for number in range(nodes)]
    origins = tuple(
        replace(snapshot.origins[0], origin=bytes([number]) * 16, node_name=name, next_sequence=1_002)
        for number, name in enumerate(names)
    )
    peers = tuple(
        replace(
            snapshot.peers[0],
            name=name,
            origins=tuple(
                replace(
                    snapshot.peers[0].origins[0],
                    origin=origin.origin,
                    node_name=origin.node_name,
                    peer_next_sequence=1_002 - missing.get((name, number), 0),
                )
                for number, origin in enumerate(origins)
            ),
        )
        for name in names[1:]
    )
    node = replace(snapshot.node, name=names[0])
    return reduce(
        DashState(target="a", now=NOW),
        SnapshotArrived(replace(snapshot, node=node, origins=origins, peers=peers), NOW),
    )


def _drawn(state: DashState, width: int) -> list[str]:
    columns = matrix.columns(state, Locale())
    rows = matrix.rows(state, Locale())
    assert all(len(row.cells) == len(row.sort) == len(columns) for row in rows)
    return [plain(render_cells(row.cells, columns, column_widths(columns, width))) for row in rows]


def test_few_nodes_have_counts_and_shares(world):
    drawn = _drawn(_cluster(world, 3, {("node-02", 1): 120}), 100)
    assert drawn[0].split()[2:] == ["3", "of", "3", "✓", "1.0k", "~✓", "1.0k", "~✓", "1.0k"]
    assert drawn[1].split()[2:] == ["2", "of", "3", "✓", "1.0k", "~✓", "1.0k", "~-120", "88%"]


def test_a_dozen_nodes_have_shares_under_short_names(world):
    state = _cluster(world, 12, {("node-07", 4): 1, ("node-08", 4): 999})
    assert [column.title for column in matrix.columns(state, Locale())][2:5] == ["00", "01", "02"]
    assert _drawn(state, 134)[4].split()[2:] == ["10", "of", "12", "✓", *["~✓"] * 6, "~99%", "~1%", *["~✓"] * 3]


def test_of_many_nodes_those_that_miss_something_are_named(world):
    missing = {("node-07", 4): 500, ("node-30", 4): 900, **{(f"node-{each:02}", 5): 10 for each in range(10, 40)}}
    drawn = _drawn(_cluster(world, 50, missing), 134)
    assert drawn[0].rstrip().endswith("50 of 50  nobody")
    assert drawn[4].rstrip().endswith("48 of 50  node-30 ~10%, node-07 ~50%")
    assert "20 of 50  node-10 ~99%" in drawn[5]


@pytest.mark.parametrize("nodes", [1, 2, 5, 6, 12, 13, 50])
@pytest.mark.parametrize("width", [136, 76, 36])
def test_where_columns_have_no_room_the_count_of_whole_copies_stays(world, nodes, width):
    drawn = _drawn(_cluster(world, nodes, {("node-01", 0): 1} if nodes > 1 else {}), width)
    assert f"{max(nodes - 1, 1)} of {nodes}" in drawn[0]
