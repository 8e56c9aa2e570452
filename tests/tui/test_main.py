"""The main screen: what it shows at each size, and that it stays when the agent goes."""

from proglog.client.model import MemberStatus


async def test_three_panels_show_the_live_cluster(open_dash):
    async with open_dash((140, 40)) as dash:
        await dash.run(30)
        assert "node-a 127.0.0.1:8400" in dash.text
        assert "● live" in dash.text
        for words in ("1 Members", "3 Replication", "4 Segments", "node-b", "● streaming", "✓ in step", "✓ ok"):
            assert words in dash.text


async def test_a_lag_is_told_in_records_bytes_and_seconds(open_dash, world):
    async with open_dash((140, 40)) as dash:
        await dash.run(5)
        world.lag["node-b"] = 1_204
        await dash.run()
        assert "1,204 records, 308 kB, 3.6 s" in dash.text


async def test_an_agent_that_is_gone_leaves_its_last_word_on_the_screen(open_dash):
    async with open_dash((100, 24)) as dash:
        await dash.run(5)
        await dash.lose(34, attempt=7)
        assert "◐ reconnecting in 2.0 s (attempt 7), data 34 s old" in dash.text
        assert "node-b" in dash.text
        assert dash.app.screen.has_class("-stale")


async def test_an_agent_that_is_back_is_live_at_once(open_dash):
    async with open_dash((100, 24)) as dash:
        await dash.run(5)
        await dash.lose(34)
        await dash.run(1)
        assert "● live" in dash.text
        assert not dash.app.screen.has_class("-stale")


async def test_a_failed_member_is_the_first_thing_that_is_said(open_dash, world):
    async with open_dash((100, 24)) as dash:
        world.status["node-c"] = MemberStatus.FAILED
        await dash.run()
        assert "1 needs attention   ✖ node-c failed" in dash.text
        assert "✖ failed" in dash.text
