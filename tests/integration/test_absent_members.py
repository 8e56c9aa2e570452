"""What only a member that is away holds is waited for, and comes with it: over real sockets."""

from collections.abc import Awaitable, Callable
from pathlib import Path

from proglog.replication.plan import Patience
from tests.integration.test_replication import damage, node, produce_segments

Eventually = Callable[..., Awaitable[None]]


async def test_what_only_a_member_that_is_away_holds_is_waited_for_and_comes_with_it(
    tmp_path: Path, eventually: Eventually
) -> None:
    patience = Patience(aside_timeout=0.1, gap_timeout=0.2)
    async with node("a", tmp_path) as a, node("c", tmp_path, patience=patience) as c:
        c.replicator._planner._holes._others = lambda: {"a": "alive", "b": "failed 1 min ago"}
        async with node("b", tmp_path) as b:
            b.replicator.join("a", a.addr)
            await produce_segments(a)
            await eventually(lambda: b.log.end_offset == a.log.end_offset)
        damage(a, b"000500")
        c.replicator.join("a", a.addr)
        await eventually(lambda: c.events.count("replication-source-set-aside") > 5, what="many more than the timeouts")
        assert c.log.end_offset == 500
        assert "replication-waits" in c.events

        async with node("b", tmp_path) as b:
            c.replicator.join("b", b.addr)
            await eventually(lambda: c.log.end_offset == 4000, what="all records")
        assert c.values() == [b"%06d" % number for number in range(4000)]
        assert "replication-wait-over" in c.events
        assert "replication-gap" not in c.events
