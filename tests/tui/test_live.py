"""The dashboard on a real agent: it shows what is produced, outlives the agent, and is back when the agent is."""

import asyncio
import socket
import time
from collections.abc import Callable
from pathlib import Path

from kit.patience import patience
from proglog import client
from proglog.agent.agent import Agent
from proglog.agent.config import AgentConfig
from proglog.observe.recording import Recorder, load
from proglog.record.record import Record
from proglog.tui.app import DashApp
from proglog.tui.source import LiveSource
from proglog.tui.state import Phase

DEADLINE = 60.0


async def _until(condition: Callable[[], bool], what: str) -> float:
    """Waits for ``condition``; returns the seconds that it took."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < DEADLINE, f"not within {DEADLINE} s: {what}"
        await asyncio.sleep(0.02)
    return time.monotonic() - started


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


async def _agent(data_dir: Path, port: int) -> Agent:
    config = AgentConfig(node_name="solo", data_dir=data_dir, bind_addr="127.0.0.1:0", rpc_port=port)
    return await Agent.start(config)


def _text(app: DashApp) -> str:
    strips = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip) for strip in strips)


async def test_it_watches_an_agent_through_its_death_and_return(tmp_path):
    port = _free_port()
    addr = f"127.0.0.1:{port}"
    recorder = Recorder(tmp_path / "watched.sqlite", addr)
    app = DashApp(LiveSource(addr), recorder=recorder)
    async with app.run_test(size=(160, 34)) as pilot:
        await _until(lambda: "reconnecting" in _text(app), "an agent that is not there yet is reported")
        agent = await _agent(tmp_path / "data", port)
        try:
            await _until(lambda: "● live" in _text(app), "the agent is found")
            async with client.connect(addr) as connected, connected.producer() as producer:
                for index in range(10):
                    await producer.send(Record(value=b"value %d [/]\x1b[31m" % index))
            await _until(lambda: "10 records" in _text(app), "records are counted")
            await pilot.press("t")
            await _until(lambda: "value 9 [/]␛[31m" in _text(app), "records are browsed")
            await pilot.press("escape")
        finally:
            await agent.shutdown()
        await _until(lambda: app.state.phase is Phase.RECONNECTING, "the loss is seen")
        await _until(lambda: "reconnecting" in _text(app), "the loss is reported")
        assert "10 records" in _text(app)
        agent = await _agent(tmp_path / "data", port)
        try:
            back = await _until(lambda: app.state.phase is Phase.LIVE, "the return is seen")
            assert back < patience(5.0)
            await _until(lambda: "● live" in _text(app), "the return is reported")
            assert "10 records" in _text(app)
        finally:
            await agent.shutdown()
    recorder.close()
    watched = load(tmp_path / "watched.sqlite")
    assert watched.target == addr
    assert [frame.snapshot.node.name for frame in watched.frames[:1]] == ["solo"]
