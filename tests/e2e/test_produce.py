"""``produce`` with everything: keys and headers, whole files, rejected lines, a rate, and a checkpoint."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.patience import patience
from proglog.testing.processes import AgentProcess

PROGLOG = [sys.executable, "-m", "proglog"]


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[AgentProcess]:
    with AgentProcess("a", tmp_path) as started:
        yield started


def environment(agent: AgentProcess) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PROGLOG_")}
    return clean | {"PROGLOG_ADDR": agent.rpc_addr}


def run(agent: AgentProcess, *words: str, data: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run([*PROGLOG, *words], input=data, env=environment(agent), capture_output=True, timeout=90)


def test_a_key_and_headers_of_every_record_are_filtered_and_written(agent: AgentProcess) -> None:
    run(agent, "produce", "--key", "red one", "--header", "source=web", "--header", "empty=", data=b"1\n2\n")
    run(agent, "produce", "--key", "blue", data=b"error 3\n")
    run(agent, "produce", data=b"4\n")

    def read(*words: str) -> list[str]:
        done = run(agent, "consume", *words)
        assert done.returncode == 0, done.stderr
        return done.stdout.decode().splitlines()

    assert read("--key", "red*") == ["1", "2"]
    assert read("--key", "red*", "--key", "b?ue") == ["1", "2", "error 3"]
    assert read("--header", "source=w*") == ["1", "2"]
    assert read("--header", "empty") == ["1", "2"]
    assert read("--grep", "^err.r \\d$") == ["error 3"]
    assert read("--origin", "a", "-n", "2") == ["1", "2"]
    assert read("--reverse", "-n", "2") == ["4", "error 3"]
    assert read("--reverse", "--key", "red*", "-n", "1") == ["2"]
    assert read("--format", "{key:<8}|{header.source:>4}|{value:hex}|{value_bytes}", "0:1") == ["red one | web|31|1"]
    assert read("--format", "{timestamp:%Y}", "0:1")[0].startswith("20")
    groups = json.loads(run(agent, "consume", "--group-by", "key", "-o", "json").stdout)["items"]
    assert {each["group"]: each["records"] for each in groups} == {"red one": 2, "blue": 1, None: 1}


def test_a_person_gets_a_prompt_and_the_offset_of_each_line_and_no_bar(agent: AgentProcess) -> None:
    parent, child = pty.openpty()
    process = subprocess.Popen(
        [*PROGLOG, "produce"], stdin=child, stdout=child, stderr=child, env=environment(agent), close_fds=True
    )
    os.close(child)
    shown = b""
    for typed, expected in (
        (b"", b"> "),
        (b"hello\n", b"offset 0\r\n> "),
        (b"world\n", b"offset 1\r\n> "),
        (b"\x04", b"2 records"),
    ):
        os.write(parent, typed)
        end = time.monotonic() + patience(20)
        while expected not in shown and time.monotonic() < end:
            if select.select([parent], [], [], 0.1)[0]:
                shown += os.read(parent, 4096)
        assert expected in shown, shown

    assert process.wait(patience(20)) == 0
    assert b"producing" not in shown
    os.close(parent)
    assert run(agent, "consume").stdout == b"hello\nworld\n"


def test_a_file_can_be_one_record(agent: AgentProcess, tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"one\ntwo\n")
    (tmp_path / "b.bin").write_bytes(b"")
    produced = run(agent, "produce", "--format", "file", str(tmp_path / "a.bin"), str(tmp_path / "b.bin"))

    assert produced.returncode == 0, produced.stderr
    assert run(agent, "consume", "--format", "null").stdout == b"one\ntwo\n\0\0"


def test_lines_that_are_no_records_go_into_a_file_with_their_numbers(agent: AgentProcess, tmp_path: Path) -> None:
    lines = b'{"value": "1"}\nbad\n{"value": "3"}\n{"valve": "4"}\n{"value": "5"}\n'
    rejects = tmp_path / "rejects"
    done = run(
        agent, "produce", "--format", "jsonl", "--on-error", "skip", "--rejects", str(rejects), "-o", "json", data=lines
    )

    assert done.returncode == 1
    made = json.loads(done.stdout)
    assert (made["acknowledged"], made["rejected"]) == (3, 2)
    assert run(agent, "consume").stdout == b"1\n3\n5\n"
    written = [json.loads(line) for line in rejects.read_text().splitlines()]
    assert [(each["number"], each["line"]) for each in written] == [(2, "bad"), (4, '{"valve": "4"}')]
    assert "not JSON" in written[0]["reason"]


def test_a_rate_is_kept_and_files_repeat(agent: AgentProcess, tmp_path: Path) -> None:
    (tmp_path / "lines").write_bytes(b"x\n" * 50)
    started = time.monotonic()
    done = run(agent, "produce", str(tmp_path / "lines"), "--repeat", "3", "--rate", "150")

    assert done.returncode == 0, done.stderr
    assert time.monotonic() - started >= 0.95
    assert run(agent, "consume").stdout.count(b"\n") == 150


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_resumes_with_every_line_once(agent: AgentProcess, tmp_path: Path, how: int) -> None:
    lines, checkpoint = tmp_path / "lines", tmp_path / "checkpoint"
    lines.write_bytes(b"".join(b"%d\n" % number for number in range(6_000)))
    command = [*PROGLOG, "produce", str(lines), "--checkpoint", str(checkpoint)]
    for _ in range(2):
        before = _count(agent)
        process = subprocess.Popen(
            [*command, "--rate", "2k"], env=environment(agent), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        end = time.monotonic() + patience(20)
        while _count(agent) == before and process.poll() is None and time.monotonic() < end:
            time.sleep(0.01)
        process.send_signal(how)
        process.wait(patience(20))

    done = run(agent, *command[3:])

    assert done.returncode == 0, done.stderr
    assert b"resuming after" in done.stderr
    assert run(agent, "consume").stdout == lines.read_bytes()
    again = run(agent, *command[3:])
    assert b"0 records" in again.stderr
    lines.write_bytes(lines.read_bytes() + b"more\n")
    assert run(agent, *command[3:]).returncode == 0
    assert run(agent, "consume").stdout == lines.read_bytes()


def _count(agent: AgentProcess) -> int:
    return json.loads(run(agent, "status", "-o", "json").stdout)["log"]["end_offset"]


def test_a_checkpoint_of_other_inputs_or_of_nothing_is_refused(agent: AgentProcess, tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint"
    for name in "ab":
        (tmp_path / f"{name}.log").write_bytes(b"1\n")
    assert run(agent, "produce", str(tmp_path / "a.log"), "--checkpoint", str(checkpoint)).returncode == 0

    refused = run(agent, "produce", str(tmp_path / "b.log"), "--checkpoint", str(checkpoint))
    assert (refused.returncode, b"a file for each input" in refused.stderr) == (2, True)
    checkpoint.write_text("{}")
    refused = run(agent, "produce", str(tmp_path / "a.log"), "--checkpoint", str(checkpoint))
    assert (refused.returncode, b"is no checkpoint" in refused.stderr) == (2, True)


def test_a_position_is_moved_looked_at_and_forgotten(agent: AgentProcess) -> None:
    run(agent, "produce", data=b"".join(b"%d\n" % number for number in range(10)))
    assert run(agent, "consume", "--as", "nightly", "-n", "6").stdout.count(b"\n") == 6

    looked = json.loads(run(agent, "positions", "set", "nightly", "+2", "--dry-run", "-o", "json").stdout)
    assert (looked["done"], looked["replayed"], looked["skipped"]) == (False, 4, 0)
    assert run(agent, "consume", "unread:nightly").stdout == b"6\n7\n8\n9\n"
    assert run(agent, "consume", "unread:nightly", "-n", "1").stdout == b"6\n"
    refused = run(agent, "positions", "set", "nightly", "+2")
    assert (refused.returncode, b"--yes" in refused.stderr, b"4 records handed out again" in refused.stderr) == (
        2,
        True,
        True,
    )

    assert run(agent, "positions", "set", "nightly", "-1", "--yes").returncode == 0
    assert run(agent, "consume", "--as", "nightly").stdout == b"9\n"
    assert run(agent, "positions", "set", "nightly", "start", "--yes").returncode == 0
    assert run(agent, "consume", "--as", "nightly", "-n", "2").stdout == b"0\n1\n"

    assert run(agent, "positions", "delete", "nightly", "--yes").returncode == 0
    assert run(agent, "positions", "-o", "plain").stdout == b""
    gone = run(agent, "consume", "unread:nightly")
    assert (gone.returncode, b"there is no position 'nightly'" in gone.stderr) == (6, True)
    unknown = run(agent, "positions", "nightyl")
    assert (unknown.returncode, unknown.stdout, b"there is no position 'nightyl'" in unknown.stderr) == (6, b"", True)
    assert run(agent, "consume", "--as", "nightly", "8:").stdout == b"8\n9\n"
