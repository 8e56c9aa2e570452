"""The one list of losses: damage, gaps and forks."""

from dataclasses import replace

from proglog.cli.commands.losses import rows
from proglog.wire.model import AcceptedLoss, Condition, DamagedRange
from tests.unit.cli.test_check import _snapshot


def test_damage_gaps_and_forks_are_in_the_list_of_losses() -> None:
    shown = _snapshot()
    damage = DamagedRange(start_offset=12, end_offset=15, detail="bytes 7 to 9")
    gap = AcceptedLoss(
        start_offset=3,
        end_offset=9,
        detail="no node has them",
        found_at_ms=None,
        accepted_by="me",
        accepted_at_ms=7,
        reason="gone",
        gap=True,
    )
    fork = Condition(
        kind="replication-forked",
        subject="b",
        origin="6f1c2d3e",
        detail="they part at 41",
        since_ms=5,
        last_ms=5,
        count=1,
    )
    accepted = replace(fork, kind="fork-accepted", origin="77aa0011", detail="accepted by me: it was a drill")
    log = replace(shown.log, damaged=(damage,), accepted=(gap,))
    found = rows(replace(shown, log=log, conditions=(fork, accepted)))
    assert [(row.kind, row.range_, row.count, row.state) for row in found] == [
        ("gap", "3:9", 6, "accepted by me: gone"),
        ("damage", "12:15", 3, "lost"),
        ("fork", "6f1c2d3e", None, "two histories, the other on b"),
        ("fork", "77aa0011", None, "accepted"),
    ]
    assert found[2].found_at_ms == shown.taken_at_ms - 5
