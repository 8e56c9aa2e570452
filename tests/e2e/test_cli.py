"""The command line against a real agent, as whole processes."""

import hashlib
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
TIMEOUT = 30


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentProcess]:
    """One agent for the tests that leave it as it is."""
    agent = AgentProcess("shared", tmp_path_factory.mktemp("shared"))
    agent.start()
    run(agent, "produce", data=b"".join(b"%d\n" % number for number in range(100)))
    yield agent
    agent.kill()


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[AgentProcess]:
    """An agent with an empty log."""
    started = AgentProcess("a", tmp_path)
    started.start()
    yield started
    started.kill()


def run(agent: AgentProcess | None, *arguments: str, data: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PROGLOG_")}
    if agent is not None:
        environment["PROGLOG_ADDR"] = agent.rpc_addr
    return subprocess.run([*PROGLOG, *arguments], input=data, capture_output=True, timeout=TIMEOUT, env=environment)


@pytest.mark.parametrize(
    "data",
    [
        b"one\ntwo\n",
        b"\n\nempty lines\n\n",
        b"\x1b[31m\x00\xff no text\n[/][red]\n",
        b"".join(b"%d %s\n" % (number, b"x" * (number % 300)) for number in range(20_000)),
    ],
    ids=["two", "empty", "bytes", "many"],
)
def test_what_is_produced_is_consumed_byte_for_byte(agent: AgentProcess, data: bytes) -> None:
    produced = run(agent, "produce", data=data)
    consumed = run(agent, "consume")

    assert (produced.returncode, consumed.returncode) == (0, 0)
    assert consumed.stdout == data
    assert b"%d record" % data.count(b"\n") in produced.stderr.replace(b",", b"")


def test_a_last_line_without_a_newline_is_a_record(agent: AgentProcess) -> None:
    run(agent, "produce", data=b"one\ntwo")

    assert run(agent, "consume").stdout == b"one\ntwo\n"


def test_files_are_read_one_after_the_other(agent: AgentProcess, tmp_path: Path) -> None:
    for name in "xy":
        (tmp_path / name).write_bytes(b"%s1\n%s2\n" % (name.encode(), name.encode()))

    run(agent, "produce", str(tmp_path / "x"), str(tmp_path / "y"))

    assert run(agent, "consume").stdout == b"x1\nx2\ny1\ny2\n"


def test_records_that_end_with_nul_may_hold_newlines(agent: AgentProcess) -> None:
    run(agent, "produce", "--format", "null", data=b"a\nb\0c\0")

    assert run(agent, "consume", "--format", "null").stdout == b"a\nb\0c\0"


def test_json_out_and_in_again_is_an_identity(agent: AgentProcess) -> None:
    lines = [
        {"value": "text", "key": "k", "headers": [], "timestamp_at": "1970-01-01T00:00:00.005Z"},
        {"value": {"base64": "/wA="}, "key": None, "headers": [["h", "v"]], "timestamp_at": 1 << 60},
    ]
    run(agent, "produce", "--format", "jsonl", data=b"".join(json.dumps(line).encode() + b"\n" for line in lines))
    first = run(agent, "consume", "-o", "jsonl").stdout
    run(agent, "produce", "--format", "jsonl", data=first)
    second = run(agent, "consume", "2:", "-o", "jsonl").stdout

    def contents(data: bytes) -> list[dict[str, object]]:
        places = ("schema", "offset", "origin", "sequence")
        return [{k: v for k, v in json.loads(line).items() if k not in places} for line in data.splitlines()]

    assert contents(first) == contents(second) == lines


def test_keys_stand_before_their_separator(agent: AgentProcess) -> None:
    run(agent, "produce", "--key-sep", "=", data=b"a=1=2\nnone\n")

    assert run(agent, "consume", "--format", "{key}|{value}|{offset}").stdout == b"a|1=2|0\n|none|1\n"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["5:8"], range(5, 8)),
        (["-3"], range(97, 100)),
        (["--", "-3"], range(97, 100)),
        (["+98"], range(98, 100)),
        ([":2"], range(2)),
        (["end"], range(0)),
        (["@1h", "--limit", "2"], range(2)),
        (["50", "-n", "3"], range(50, 53)),
    ],
    ids=str,
)
def test_a_range_reads_what_it_says(shared: AgentProcess, arguments: list[str], expected: range) -> None:
    result = run(shared, "consume", *arguments)

    assert result.stdout.split() == [b"%d" % number for number in expected]
    assert (result.returncode, result.stderr) == (0, b"")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["consume", "1000"], 6, b"offset 1000 is out of range: the log holds offsets [0, 100)"),
        (["consume", "5-10"], 2, b"did you mean 5:10?"),
        (["consume", "--folow"], 2, b"no such option"),
        (["consume", "--format", "{nothing}"], 2, b"{nothing} is no field"),
        (["consume", "--limit", "-1"], 2, b"--limit -1"),
        (["produce", "/nowhere"], 2, b"/nowhere: no such file"),
        (["consume", "--as", ""], 2, b"1 to 128 printable characters"),
        (["consume", "--reset"], 2, b"--as NAME"),
        (["consume", "cursor:nonsense"], 2, b"the cursor"),
        (["consume", "--addr", "127.0.0.1:1,127.0.0.1:2", "--timeout", "0.5"], 3, b"cannot reach 127.0.0.1:"),
        (["produce", "--acks", "most"], 2, b"expected a number of nodes, 1 to 1024, or all"),
        (["produce", "--format", "xml"], 2, b"expected line, null, jsonl or file"),
        (["members", "--addr", "nonsense"], 2, b"expected HOST:PORT"),
        (["members", "--addr", "127.0.0.1:1"], 3, b"cannot reach 127.0.0.1:1"),
        (["members", "--tls-ca-file", "x"], 2, b"TLS needs three files"),
        (["status", "--timeout", "0"], 2, b"--timeout 0"),
        (["dash"], 2, b"needs a terminal"),
        (["dance"], 2, b"dance"),
        (["verify", "/nowhere"], 6, b"no data directory"),
        (["verify", "/usr"], 6, b"/usr is no data directory: it holds no segment"),
        (["doctor", "/usr"], 6, b"/usr is no data directory: it holds no segment"),
        (["positions", "nobody"], 6, b"there is no position 'nobody'; there are: "),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_one_clear_line_and_its_exit_code(
    shared: AgentProcess, arguments: list[str], code: int, words: bytes
) -> None:
    result = run(shared, *arguments)

    assert result.returncode == code, result.stderr
    assert words in result.stderr
    assert result.stdout == b""
    assert b"Traceback" not in result.stderr


def test_a_bad_line_of_json_is_named_and_those_before_it_are_kept(agent: AgentProcess) -> None:
    result = run(agent, "produce", "--format", "jsonl", data=b'{"value": "good"}\nbad\n')

    assert result.returncode == 1
    assert b"line 2: not JSON" in result.stderr


@pytest.mark.parametrize("verb", ["members", "status", "segments", "lag"])
@pytest.mark.parametrize("format_", ["table", "json", "jsonl", "plain"])
def test_every_view_comes_in_every_format(shared: AgentProcess, verb: str, format_: str) -> None:
    result = run(shared, verb, "-o", format_)

    assert result.returncode == 0, result.stderr
    if format_ == "json":
        assert json.loads(result.stdout) is not None
    if format_ == "jsonl":
        assert all(json.loads(line) for line in result.stdout.splitlines())
    if verb == "members":
        assert b"shared" in result.stdout


def test_a_reader_that_has_enough_ends_it_quietly(shared: AgentProcess) -> None:
    command = f"{sys.executable} -m proglog consume --addr {shared.rpc_addr} | true; echo ${{PIPESTATUS[0]}}"
    process = subprocess.run(["bash", "-c", command], capture_output=True, timeout=TIMEOUT)

    assert process.stdout.split()[-1] in (b"141", b"0")  # 0: it had written everything before the reader went
    assert b"Traceback" not in process.stderr


def test_following_shows_what_comes_and_ends_with_ctrl_c(agent: AgentProcess) -> None:
    follower = subprocess.Popen(
        [*PROGLOG, "consume", "end", "--follow", "--addr", agent.rpc_addr],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert follower.stdout is not None
    deadline = time.monotonic() + TIMEOUT
    seen = b""
    while b"news" not in seen and time.monotonic() < deadline:
        run(agent, "produce", data=b"news\n")
        if select.select([follower.stdout], [], [], 0.2)[0]:
            seen += os.read(follower.stdout.fileno(), 1000)
    follower.send_signal(signal.SIGINT)
    _, errors = follower.communicate(timeout=TIMEOUT)

    assert b"news\n" in seen
    assert follower.returncode == 130
    assert b"Traceback" not in errors


def test_a_terminal_never_gets_a_hostile_value_raw(agent: AgentProcess) -> None:
    run(agent, "produce", data="\x1b]52;c;eA==\x07[/][red]\u202eevil\n".encode())
    parent, child = pty.openpty()
    process = subprocess.Popen(
        [*PROGLOG, "consume", "--addr", agent.rpc_addr], stdout=child, stderr=child, stdin=subprocess.DEVNULL
    )
    os.close(child)
    process.wait(TIMEOUT)
    shown = os.read(parent, 10_000).decode()
    os.close(parent)

    assert "[/][red]" in shown
    assert not {"\x1b", "\x07", "\u202e"} & set(shown)


def serve(*flags: str) -> "subprocess.CompletedProcess[bytes]":
    return run(None, "serve", *flags)


def test_serve_says_in_one_line_why_it_cannot_start(shared: AgentProcess, tmp_path: Path) -> None:
    rpc_port, gossip = shared.rpc_addr.rpartition(":")[2], shared.gossip_addr
    in_the_way, garbage = tmp_path / "file", tmp_path / "garbage.pem"
    in_the_way.write_text("x")
    garbage.write_text("x")
    data, free = ("--data-dir", str(tmp_path / "data")), ("--bind-addr", "127.0.0.1:0")
    tls = [
        part
        for side in ("server", "peer")
        for kind in ("cert", "key", "ca")
        for part in (f"--{side}-tls-{kind}-file", str(garbage))
    ]
    cases: list[tuple[tuple[str, ...], int, bytes]] = [
        ((*data, *free, "--rpc-port", rpc_port), 2, rpc_port.encode()),
        ((*data, "--bind-addr", gossip, "--rpc-port", "0"), 2, gossip.encode()),
        (("--data-dir", str(shared.directory / "shared"), *free, "--rpc-port", "0"), 1, b"locked by process"),
        (("--data-dir", str(in_the_way), *free, "--rpc-port", "0"), 1, str(in_the_way).encode()),
        ((*data, "--bind-addr", "nonsense"), 2, b"--bind-addr 'nonsense'"),
        ((*data, "--bind-addr", "0.0.0.0:0"), 2, b"--insecure"),
        ((*data, *free, "--fsync", "never"), 2, b"expected always, interval or os"),
        ((*data, *free, "--retention-age", "soon"), 2, b"--retention-age 'soon'"),
        ((*data, *free, "--rpc-port", "0", *tls), 2, str(garbage).encode()),
        ((*data, "--config", str(in_the_way)), 2, b"is not TOML"),
        ((*data, "--node-name", "with space"), 2, b"--node-name"),
    ]
    for flags, code, words in cases:
        result = serve("--log-level", "error", *flags)

        assert result.returncode == code, (flags, result.stderr)
        assert words in result.stderr, (flags, result.stderr)
        assert result.stderr.count(b"\n") <= 2, result.stderr
        assert b"Traceback" not in result.stderr


def test_a_flag_wins_over_its_variable_and_that_over_the_file(tmp_path: Path) -> None:
    config = tmp_path / "agent.toml"
    config.write_text('node-name = "file"\nrpc-port = 70000\n')
    both = run(None, "serve", "--config", str(config), "--data-dir", str(tmp_path / "data"))
    assert b"--rpc-port 70000" in both.stderr

    above = run(None, "serve", "--config", str(config), "--rpc-port", "70001", "--data-dir", str(tmp_path / "data"))
    assert b"--rpc-port 70001" in above.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_an_agent_within_five_seconds_and_it_starts_again_clean(
    agent: AgentProcess, number: signal.Signals
) -> None:
    run(agent, "produce", data=b"kept\n")
    process = agent.process
    assert process is not None
    started = time.monotonic()
    agent.signal(number)

    assert process.wait(patience(5)) == 0
    assert time.monotonic() - started < patience(5)
    agent.kill()  # it has ended: this only lets go of its pipe
    agent.start()
    assert run(agent, "consume").stdout == b"kept\n"
    assert b"repaired" not in run(agent, "status").stdout


def demo_processes(marker: str) -> list[str]:
    """The agents of a demonstration, by what only their command lines hold."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if marker in path.read_text():
                found.append(path.read_text())
        except OSError:
            continue  # it ended while it was looked at
    return found


def demo(tmp_path: Path, *flags: str) -> "subprocess.Popen[bytes]":
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    return subprocess.Popen(
        [*PROGLOG, "demo", "--no-dash", *flags],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
    )


def test_the_demo_sends_a_file_through_three_agents_and_leaves_nothing(tmp_path: Path) -> None:
    source = tmp_path / "lines"
    source.write_bytes(b"".join(b"line %d\n" % number for number in range(5000)))
    scratch = tmp_path / "scratch"
    scratch.mkdir()

    process = demo(scratch, "--input", str(source))
    out, errors = process.communicate(timeout=90)

    assert process.returncode == 0, errors
    assert b"produced   5,000 records" in out
    assert b"read back  5,000 records" in out
    assert b"the digests agree" in out
    assert hashlib.sha256(source.read_bytes()).hexdigest().encode() in out
    assert list(scratch.iterdir()) == []
    assert demo_processes(str(scratch)) == []


def test_a_kept_demo_can_be_verified(tmp_path: Path) -> None:
    source, kept = tmp_path / "lines", tmp_path / "kept"
    source.write_bytes(b"one\ntwo\n")
    process = demo(tmp_path, "--input", str(source), "--keep", str(kept))
    _, errors = process.communicate(timeout=90)
    assert process.returncode == 0, errors

    verified = run(None, "verify", str(kept / "node-3"))
    assert verified.returncode == 0, verified.stderr
    assert b"2 records" in verified.stdout
    assert run(None, "doctor", str(kept / "node-3")).returncode == 0
