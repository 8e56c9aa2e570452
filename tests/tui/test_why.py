"""The card that says why something needs attention."""

from dataclasses import replace

from proglog.tui.panels.replication.panel import ReplicationPanel
from proglog.wire.model import MemberStatus, PeerState


async def test_the_card_has_cause_advice_and_a_command_that_y_copies(open_dash, world):
    async with open_dash((140, 40)) as dash:
        world.status["node-c"] = MemberStatus.FAILED
        await dash.run(3)
        await dash.press("a")
        assert "✖ node-c failed" in dash.text
        assert "do        Restart it" in dash.text
        assert "$         proglog members --addr 127.0.0.1:8400" in dash.text
        await dash.press("y")
        assert dash.app.clipboard == "proglog members --addr 127.0.0.1:8400"


async def test_enter_leads_to_the_panel_that_shows_it(open_dash, world):
    async with open_dash((140, 40)) as dash:
        await dash.run(3)
        peers = world.snapshot().peers
        failing = replace(
            peers[0], state=PeerState.BACKING_OFF, error="connection refused", failing=True, failing_ms=9_000
        )
        world.overrides["peers"] = (failing, *peers[1:])
        await dash.run(1)
        await dash.press("a")
        assert "node-b cannot be copied from: connection refused" in dash.text
        assert "for       9.0 s, since" in dash.text
        await dash.press("enter")
        assert dash.app.screen.focused.id == ReplicationPanel.KEY


async def test_a_frame_carries_the_colour_of_what_it_shows(open_dash, world):
    async with open_dash((140, 40)) as dash:
        await dash.run(3)
        members = dash.app.screen.query_one("#panel-members")
        assert not members.has_class("-bad")
        world.status["node-c"] = MemberStatus.FAILED
        await dash.run(2)
        assert members.has_class("-bad")
