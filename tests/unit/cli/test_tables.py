"""What the verbs print of a snapshot: the dashboard's columns in a terminal of any width, and objects for programs."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from proglog.cli import output, tables
from proglog.cli.shapes import value_of
from proglog.wire.model import ClusterSnapshot, PeerState
from tests.tui.conftest import World


@pytest.fixture
def snapshot() -> ClusterSnapshot:
    world = World()
    world.lag["node-b"] = 1_204
    return world.snapshot()


def _lag(snapshot: ClusterSnapshot, capsys: pytest.CaptureFixture[str]) -> Sequence[str]:
    output.as_table(tables.lag(snapshot), tables.LAG)
    return capsys.readouterr().out.splitlines()


def test_a_lag_is_printed_for_each_origin_of_each_peer(
    snapshot: ClusterSnapshot, capsys: pytest.CaptureFixture[str]
) -> None:
    heading, *lines = _lag(snapshot, capsys)
    assert heading.split() == ["PEER", "STREAM", "ORIGIN", "HERE", "THERE", "THIS", "NODE", "THE", "PEER"]
    assert len(lines) == 6
    assert sum("trails by 1,204 records, 308 kB, 3.6 s" in each for each in lines) == 1


def test_a_narrow_terminal_gives_up_columns_first_and_words_then(
    snapshot: ClusterSnapshot, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "terminal_width", lambda: 60)
    heading, *lines = _lag(snapshot, capsys)
    assert heading.split() == ["PEER", "ORIGIN", "THIS", "NODE"]
    assert any("trails by 1,204 records, 3.6 s" in each and "kB" not in each for each in lines)


def test_a_peer_of_which_nothing_is_known_is_listed_with_its_error(
    snapshot: ClusterSnapshot, capsys: pytest.CaptureFixture[str]
) -> None:
    unknown = replace(snapshot.peers[0], state=PeerState.BACKING_OFF, error="refused", origins=())
    (_, line) = _lag(replace(snapshot, peers=(unknown,)), capsys)
    assert line.split() == ["node-b", "✖", "backing", "off", "-", "-", "-", "refused", "-"]
    made = value_of(tables.LAG.data(tables.lag(replace(snapshot, peers=(unknown,)))[0]))
    assert {key: value for key, value in made.items() if value is not None} == {
        "peer": "node-b", "state": "backing-off", "error": "refused",
    }  # fmt: skip


def test_the_agent_itself_is_the_first_member(snapshot: ClusterSnapshot) -> None:
    first, *others = [tables.MEMBERS.columns[0].printed(facts) for facts in tables.members(snapshot)]
    assert (first, others) == ("node-a (this)", ["node-b", "node-c"])


def test_status_says_what_is_damaged(snapshot: ClusterSnapshot) -> None:
    facts = {fact.name: fact for fact in tables.status(snapshot)}
    assert facts["members"].words == "3 alive of 3"
    assert facts["replication"].words.startswith("→ trails by 1,204 records")
    assert "damaged" not in facts
