"""Standard streams that are closed, full, unread, short, or no UTF-8: nothing is lost, and nobody calls it a bug."""

import os
import pty
import re
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from itertools import combinations
from pathlib import Path

import pytest

from proglog.testing.processes import AgentProcess

PROGLOG = [sys.executable, "-m", "proglog"]
TIMEOUT = 30
LINES = [b"%06d %s" % (number, b"x" * 80) for number in range(20_000)]
INPUT = b"".join(line + b"\n" for line in LINES)
KINDS = (
    ("consume", "-3"),
    ("members", "-o", "json"),
    ("status",),
    ("check", "--disk-free", "0"),
    ("segments", "-o", "jsonl"),
    ("config",),
    ("completion", "bash"),
    ("help", "ranges"),
)
"""A verb of each kind: values, items, one thing, a judgement, lines; without an agent; static text."""


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentProcess]:
    """An agent with 20,000 records."""
    agent = AgentProcess("full", tmp_path_factory.mktemp("full"))
    agent.start()
    assert run(agent, "produce", stdin=INPUT).returncode == 0
    yield agent
    agent.kill()


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentProcess]:
    """An agent that tests write to."""
    agent = AgentProcess("scratch", tmp_path_factory.mktemp("scratch"))
    agent.start()
    yield agent
    agent.kill()


def environ(agent: AgentProcess | None, more: Mapping[str, str] | None = None) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PROGLOG_", "PYTHON"))}
    return clean | ({"PROGLOG_ADDR": agent.rpc_addr} if agent else {}) | dict(more or {})


def run(
    agent: AgentProcess | None,
    *arguments: str | bytes,
    stdin: bytes | int = b"",
    stdout: int = subprocess.PIPE,
    env: Mapping[str, str] | None = None,
    preexec: Callable[[], None] | None = None,
) -> "subprocess.CompletedProcess[bytes]":
    given = {"input": stdin} if isinstance(stdin, bytes) else {"stdin": stdin}
    return subprocess.run(
        [*PROGLOG, *arguments],
        check=False,
        stdout=stdout,
        stderr=subprocess.PIPE,
        timeout=TIMEOUT,
        env=environ(agent, env),
        preexec_fn=preexec,
        **given,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_named_position_is_no_further_than_what_a_full_disk_took(
    full: AgentProcess, tmp_path: Path, unbuffered: str
) -> None:
    out = tmp_path / "out"
    limit = 700_001  # a write is cut there, as on a disk that fills
    with out.open("wb") as file:
        cut = run(
            full,
            "consume",
            "--as",
            f"cut{unbuffered}",
            stdout=file.fileno(),
            env={"PYTHONUNBUFFERED": unbuffered},
            preexec=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        )
    assert cut.returncode == 1
    assert b"error: cannot write to standard output: File too large (700,001 bytes were written)" in cut.stderr
    assert out.read_bytes() == INPUT[:limit]

    rest = run(full, "consume", "--as", f"cut{unbuffered}").stdout

    whole_lines = limit // (len(LINES[0]) + 1)
    assert int(rest[:6]) <= whole_lines
    assert INPUT.endswith(rest)


def test_a_pipe_that_does_not_block_gets_every_byte(full: AgentProcess) -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    got = bytearray()

    def read() -> None:
        while data := os.read(reader, 1 << 16):
            got.extend(data)

    reading = threading.Thread(target=read)
    reading.start()
    result = run(full, "consume", stdout=writer)
    os.close(writer)
    reading.join(TIMEOUT)
    os.close(reader)

    assert result.returncode == 0, result.stderr
    assert bytes(got) == INPUT


def test_what_came_before_damage_is_written_and_committed(tmp_path: Path) -> None:
    agent = AgentProcess("d", tmp_path, flags={"segment-bytes": "65536"})
    agent.start()
    for _ in range(6):
        run(agent, "produce", stdin=b"".join(b"%d\n" % number for number in range(10_000)))
    agent.stop()
    segment = sorted((tmp_path / "d").glob("*.log"))[3]
    with segment.open("r+b") as file:
        file.seek(30_000)
        file.write(b"\x55")
    agent.start()
    try:
        plain = run(agent, "consume")
        named = run(agent, "consume", "--as", "nightly")
        again = run(agent, "consume", "--as", "nightly")
        onward = run(agent, "consume", "--as", "nightly", "--skip-gone")
    finally:
        agent.kill()

    damaged = re.search(rb"offsets \[(\d+), (\d+)\) are damaged", plain.stderr)
    assert damaged is not None
    start, end = int(damaged[1]), int(damaged[2])
    assert start > 0
    assert (plain.returncode, plain.stdout.count(b"\n")) == (1, start)
    assert named.stdout == plain.stdout
    assert b"--skip-gone` skips it" in named.stderr
    assert again.stdout == b""
    assert onward.stdout.count(b"\n") == 60_000 - end


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_named_consumer_that_is_asked_to_end_commits_what_was_taken(
    full: AgentProcess, number: signal.Signals
) -> None:
    name = f"ended-by-{number.name}"
    process = subprocess.Popen(
        [*PROGLOG, "consume", "--follow", "--as", name],
        env=environ(full),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
    )
    assert process.stdout is not None
    got = b""
    while got.count(b"\n") < 4_000:  # more than a batch
        got += process.stdout.read(1 << 16)
    process.send_signal(number)  # while it waits for its reader
    more, errors = process.communicate(timeout=TIMEOUT)

    assert process.returncode == 128 + number, errors
    rest = run(full, "consume", "--as", name).stdout
    assert INPUT.endswith(rest)
    assert 0 < len(LINES) - rest.count(b"\n") <= (got + more).count(b"\n")


@pytest.mark.parametrize("closed", [each for count in (1, 2, 3) for each in combinations(range(3), count)])
def test_standard_streams_may_be_closed(scratch: AgentProcess, closed: tuple[int, ...]) -> None:
    marker = "".join(map(str, closed)).encode()

    def close() -> None:
        for descriptor in closed:
            os.close(descriptor)

    produced = run(scratch, "produce", stdin=b"closed %s\n" % marker, preexec=close)
    version = run(None, "--version", preexec=close)

    assert (produced.returncode, version.returncode) == (0, 0), produced.stderr
    assert b"bug" not in produced.stderr + version.stderr
    if 0 not in closed:
        assert b"closed %s\n" % marker in run(scratch, "consume").stdout


@pytest.mark.parametrize("verb", KINDS, ids=" ".join)
def test_a_verb_of_every_kind_ends_as_usual_without_standard_streams(full: AgentProcess, verb: tuple[str, ...]) -> None:
    def close() -> None:
        for descriptor in range(3):
            os.close(descriptor)

    assert run(full, *verb, preexec=close).returncode == 0


def test_an_agent_serves_and_ends_without_standard_streams(
    tmp_path: Path, free_port: Callable[[], int], eventually_sync: Callable[..., None]
) -> None:
    agent = AgentProcess("closed", tmp_path, rpc_addr=f"127.0.0.1:{free_port()}")
    serve = [*PROGLOG, "serve", "--insecure", "--data-dir", str(tmp_path), "--bind-addr", f"127.0.0.1:{free_port()}"]
    closed = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *serve, "--rpc-port", agent.rpc_addr.rpartition(":")[2]]
    with subprocess.Popen(closed, env=environ(None)) as process:
        try:
            eventually_sync(lambda: run(agent, "produce", stdin=b"x\n").returncode == 0, timeout=TIMEOUT / 4)
            process.terminate()
            assert process.wait(TIMEOUT) == 0
        finally:
            process.kill()


@pytest.mark.parametrize("verb", [*KINDS, ("--help",), ("--version",)], ids=" ".join)
def test_a_full_disk_under_stdout_is_no_bug(full: AgentProcess, tmp_path: Path, verb: tuple[str, ...]) -> None:
    with Path("/dev/full").open("wb") as disk:
        result = run(full, *verb, stdout=disk.fileno(), env={"XDG_STATE_HOME": str(tmp_path)})

    assert result.returncode == (3 if verb[0] == "check" else 1)
    assert b"error: cannot write to standard output: No space left on device" in result.stderr
    assert list(tmp_path.iterdir()) == []  # no crash report


@pytest.mark.parametrize("verb", [("--help",), ("consume",), ("members",), ("--version",)])
def test_a_reader_that_has_gone_ends_every_verb_with_141(full: AgentProcess, verb: tuple[str, ...]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    result = run(full, *verb, stdout=writer)
    os.close(writer)

    assert (result.returncode, result.stderr) == (141, b"")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
@pytest.mark.parametrize("verb", ["members", "status", "lag", "segments", "--help"])
def test_stdout_may_lack_the_characters_that_are_written(full: AgentProcess, encoding: str, verb: str) -> None:
    result = run(full, verb, env={"PYTHONIOENCODING": encoding})

    assert result.returncode == 0, result.stderr
    result.stdout.decode(encoding)


def test_bytes_that_are_no_utf_8_are_separators(scratch: AgentProcess) -> None:
    produced = run(scratch, "produce", "--key-sep", b"\xff", stdin=b"key\xffvalue\n")
    consumed = run(scratch, "consume", "-1", "--format", b"{key}\xfe{value}")
    refused = run(scratch, "force-leave", b"\xff")

    assert produced.returncode == 0, produced.stderr
    assert consumed.stdout == b"key\xfevalue\n"
    assert (refused.returncode, b"bug" in refused.stderr) == (6, False)
    assert b"bug" not in run(scratch, "positions", b"\xff").stderr


def test_no_format_lets_a_record_write_to_the_terminal(scratch: AgentProcess) -> None:
    run(scratch, "produce", "--format", "null", stdin=b"\x1b[31m\x07\x9b\xe2\x80\xae\n\x1b]52;c;x\x07\0")
    formats = ("line", "null", "{value}", "{value}{headers}\\n", "\\0\x1b{value:>9}")
    choices = [("--format", each) for each in formats] + [("-o", each) for each in ("table", "json", "jsonl", "plain")]
    for flag, format_ in choices:
        master, slave = pty.openpty()
        result = run(scratch, "consume", "-1", flag, format_, stdout=slave)
        os.close(slave)
        shown = os.read(master, 1 << 16)
        os.close(master)
        assert result.returncode == 0, result.stderr
        assert shown
        assert not {0x1B, 0x07, 0x9B, 0x00} & set(shown.replace(b"\xe2\x90\x9b", b"")) - set("␛␇␀".encode())


@pytest.mark.parametrize("size", [9_000_000, 8_000_000, 4_000_000])
def test_a_record_over_the_limit_is_named_by_its_line_and_those_before_it_count(
    scratch: AgentProcess, size: int
) -> None:
    before = run(scratch, "consume").stdout.count(b"\n")
    result = run(scratch, "produce", stdin=b"good1\n" + b"x" * size + b"\ngood2\n")

    assert result.returncode == 1
    assert result.stderr.startswith(b"1 record, 5 B in ")
    assert b"error: line 2: " in result.stderr
    assert b"4,000,000" in result.stderr
    assert b"nothing from there on was sent" in result.stderr
    assert run(scratch, "consume").stdout.count(b"\n") == before + 1


def test_the_largest_record_makes_the_round_trip_through_json(scratch: AgentProcess) -> None:
    largest = bytes(4_000_000 - 128 - 16)
    assert run(scratch, "produce", "--format", "null", stdin=largest.replace(b"\0", b"\x01") + b"\0").returncode == 0
    line = run(scratch, "consume", "-1", "-o", "jsonl").stdout

    again = run(scratch, "produce", "--format", "jsonl", stdin=line)  # 24 MB of JSON, in 64 KiB at a time

    assert again.returncode == 0, again.stderr
    assert run(scratch, "consume", "-1").stdout == largest.replace(b"\0", b"\x01") + b"\n"


def test_a_producer_that_is_piped_into_fails_over_without_a_double(
    tmp_path: Path, eventually_sync: Callable[..., None]
) -> None:
    with AgentProcess("a", tmp_path) as a, AgentProcess("b", tmp_path) as b:
        command = [*PROGLOG, "produce", "--addr", f"{a.rpc_addr},{b.rpc_addr}"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=environ(None)) as process:
            assert process.stdin is not None
            assert process.stderr is not None
            process.stdin.write(b"first\n")
            process.stdin.flush()
            eventually_sync(lambda: run(a, "consume").stdout == b"first\n", what="the first record")
            a.kill()
            assert b"retrying" in process.stderr.readline()
            process.stdin.write(b"second\nthird\n")
            process.stdin.close()
            errors = process.stderr.read()

        assert process.returncode == 0, errors
        assert b"3 records" in errors
        assert run(b, "consume").stdout == b"second\nthird\n"
        a.start()
        assert run(a, "consume").stdout == b"first\n"


def test_fifos_and_directories_are_distinct(scratch: AgentProcess, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    writing = threading.Thread(target=lambda: fifo.write_bytes(b"through a fifo\n"))
    writing.start()
    produced = run(scratch, "produce", str(fifo))
    writing.join(TIMEOUT)
    directory = run(scratch, "produce", str(tmp_path))
    stdin = os.open(tmp_path, os.O_RDONLY)
    as_stdin = run(scratch, "produce", stdin=stdin)
    os.close(stdin)

    assert produced.returncode == 0, produced.stderr
    assert run(scratch, "consume", "-1").stdout == b"through a fifo\n"
    assert (directory.returncode, b"is a directory" in directory.stderr) == (2, True)
    assert (as_stdin.returncode, b"<stdin> is a directory" in as_stdin.stderr) == (1, True)  # Python's own refusal
    assert run(scratch, "produce", "/dev/stdin", stdin=b"by its name\n").returncode == 0
    by_shell = ["bash", "-c", f"{sys.executable} -m proglog produce <(printf 'substituted\\n')"]
    assert (
        subprocess.run(by_shell, env=environ(scratch), capture_output=True, timeout=TIMEOUT, check=False).returncode
        == 0
    )
    assert run(scratch, "consume", "-2").stdout == b"by its name\nsubstituted\n"


def test_a_full_disk_under_a_file_of_ones_own_is_named_and_no_bug(scratch: AgentProcess, tmp_path: Path) -> None:
    state = {"XDG_STATE_HOME": str(tmp_path / "state")}
    skipping = ("produce", "--format", "jsonl", "--on-error", "skip", "--rejects", "/dev/full")
    rejects = run(scratch, *skipping, stdin=b'{"value": "good"}\nno json\n', env=state)

    assert rejects.returncode == 1
    assert b"error: /dev/full: No space left on device\n" in rejects.stderr
    assert rejects.stderr.startswith(b"1 record, 4 B in ")  # and what was sent is said all the same
    assert not (tmp_path / "state").exists()


def test_an_input_that_fails_is_named_and_no_bug(scratch: AgentProcess, tmp_path: Path) -> None:
    good = tmp_path / "good"
    good.write_bytes(b"before\n")
    result = run(scratch, "produce", str(good), "/proc/self/mem", env={"XDG_STATE_HOME": str(tmp_path / "state")})

    assert result.returncode == 1
    assert result.stderr.startswith(b"1 record, 6 B in ")
    assert b"error: /proc/self/mem cannot be read: Input/output error" in result.stderr
    assert run(scratch, "consume", "-1").stdout == b"before\n"
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_ends_a_producer_with_its_summary(
    scratch: AgentProcess, eventually_sync: Callable[..., None], number: signal.Signals
) -> None:
    before = run(scratch, "consume").stdout.count(b"\n")
    process = subprocess.Popen(
        [*PROGLOG, "produce"], env=environ(scratch), stdin=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdin is not None
    process.stdin.write(b"one\ntwo\n")
    process.stdin.flush()
    eventually_sync(lambda: run(scratch, "consume").stdout.count(b"\n") == before + 2, timeout=TIMEOUT)
    process.send_signal(number)
    try:
        assert process.wait(TIMEOUT) == 128 + number
    finally:
        process.kill()
    assert process.stderr is not None
    errors = process.stderr.read()
    process.stdin.close()
    process.stderr.close()

    assert re.match(rb"2 records, 6 B in [\d.]+ s \([\d,.]+ records/s\)\n", errors), errors
