"""The command line on a recording: what a verb says of an agent's past, as a whole process."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from proglog.observe import recording
from proglog.observe.frame import Frame

START = 1_790_000_000.0


@pytest.fixture
def incident(world, tmp_path: Path) -> Path:
    """Ten seconds; node-b is behind in the first five, and the agent is out of reach in the last two."""
    frames = []
    for second in range(10):
        world.second = second
        world.lag["node-b"] = 500 if second < 5 else 0
        frames.append(Frame.of(world.snapshot(), at=START + second, live=second < 8))
    path = tmp_path / "incident.sqlite"
    recording.save(path, "10.0.0.1:8400", frames)
    return path


def _run(*arguments: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "proglog", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=30)


def _json(*arguments: object) -> list[dict[str, object]]:
    answer = _run(*arguments, "-o", "json")
    assert (answer.returncode, answer.stderr) == (0, ""), answer
    return json.loads(answer.stdout)


@pytest.mark.parametrize("verb", ["members", "status", "segments", "lag"])
def test_every_verb_that_shows_an_agent_shows_its_past(incident: Path, verb: str) -> None:
    assert _json(verb, "--replay", incident, "--at", "+3")


def test_a_moment_of_the_recording_is_shown_as_it_was(incident: Path) -> None:
    assert {row["lag_records"] for row in _json("lag", "--replay", incident, "--at", "+4")["items"]} == {0, 500}
    assert {row["lag_records"] for row in _json("lag", "--replay", incident, "--at", "-4")["items"]} == {0}


def test_the_last_word_of_an_agent_out_of_reach_is_reported_as_that(incident: Path) -> None:
    answer = _run("members", "--replay", incident)
    assert answer.returncode == 0
    assert "node-a was unreachable at 2026-09-2" in answer.stderr
    assert "node-c" in answer.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--at", "+3"], "--at needs --replay"),
        (["--replay", "FILE", "--at", "soon"], "'soon' is no time"),
        (["--replay", "FILE", "--at", "+60"], "the recording covers"),
        (["--replay", "FILE", "--watch"], "a recording does not change"),
        (["--replay", "none.sqlite"], "none.sqlite"),
    ],
)
def test_what_cannot_be_shown_is_said_in_one_line(incident: Path, arguments: list[str], words: str) -> None:
    answer = _run("members", *(str(incident) if part == "FILE" else part for part in arguments))
    assert answer.returncode != 0
    assert answer.stdout == ""
    assert words in answer.stderr
    assert "Traceback" not in answer.stderr
