"""Programs end when they are asked to: before they have begun, as process 1, and on a terminal that nobody reads."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kit.netns import why_not
from kit.patience import patience
from kit.terminal import Terminal

PROGLOG = [sys.executable, "-m", "proglog"]
ENDS_WITHIN = 5.0
"""Seconds that the dashboard and the demonstration promise."""
LIMIT = 60.0
"""Seconds for what nothing is promised about."""
END_SIGNALS = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP]


def status_of(pid: int, field: str) -> str:
    """What the kernel says of a process; empty: it is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except FileNotFoundError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(f"{field}:")), "")


def catches(pid: int, number: int) -> bool:
    """Whether a process has a handler of its own for a signal."""
    return bool(int(status_of(pid, "SigCgt") or "0", 16) >> (number - 1) & 1)


def has_mapped(pid: int, library: str) -> bool:
    """Whether a process has begun to import an extension."""
    try:
        return library in Path(f"/proc/{pid}/maps").read_text()
    except FileNotFoundError:
        return False


def children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_there(pid: int) -> bool:
    return status_of(pid, "State")[:1] not in ("", "Z")


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    scratch = tmp_path / "tmp"
    scratch.mkdir()
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PROGLOG_", "TEXTUAL"))}
    return clean | {"TMPDIR": str(scratch), "HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path), "LANG": "C.UTF-8"}


def nothing_left(environ: dict[str, str]) -> bool:
    """Whether no file and no process of a run is there any more."""
    marker = environ["TMPDIR"]
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if marker in path.read_text() and is_there(int(path.parent.name)):
                return False
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended while it was looked at
    return not list(Path(marker).iterdir())


MOMENTS: dict[str, Callable[[int, Path], bool]] = {
    "python has started": lambda pid, _: catches(pid, signal.SIGTERM),
    "grpc is imported": lambda pid, _: has_mapped(pid, "cygrpc"),
    "the first directory is there": lambda _, scratch: any(scratch.iterdir()),
    "the first agent is there": lambda pid, _: len(children(pid)) >= 1,
    "three agents are there": lambda pid, _: len(children(pid)) >= 3,
    "an agent has a log": lambda _, scratch: any(scratch.glob("*/node-1/*.log")),
    "the last agent has a log": lambda _, scratch: any(scratch.glob("*/node-3/*.log")),
}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_demo_that_is_interrupted_leaves_nothing(
    environ: dict[str, str], eventually_sync: Callable[..., None], moment: str, number: signal.Signals
) -> None:
    command = [*PROGLOG, "demo", "--no-dash"]
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environ
    )
    scratch = Path(environ["TMPDIR"])
    try:
        eventually_sync(lambda: MOMENTS[moment](process.pid, scratch), timeout=LIMIT, what=moment)
        process.send_signal(number)
        out, errors = process.communicate(timeout=LIMIT)
    finally:
        process.kill()

    assert process.returncode == 128 + number, (out, errors)
    assert b"Traceback" not in errors
    assert nothing_left(environ)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("verb", ["serve", "consume", "members", "--help"])
def test_a_verb_that_is_ended_before_it_has_begun_ends(
    environ: dict[str, str], tmp_path: Path, eventually_sync: Callable[..., None], verb: str, number: signal.Signals
) -> None:
    process = subprocess.Popen(
        [*PROGLOG, verb], cwd=tmp_path, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    eventually_sync(lambda: catches(process.pid, signal.SIGTERM) or process.poll() is not None, timeout=LIMIT)
    process.send_signal(number)
    _, errors = process.communicate(timeout=LIMIT)

    assert process.returncode in (128 + number, 0, 3)  # 0, 3: it was quicker
    assert b"Traceback" not in errors
    assert not (tmp_path / "data").exists()


@pytest.mark.skipif(why_not() != "", reason="a process is 1 in a namespace of its own, which root may make")
@pytest.mark.parametrize("moment", ["python has started", "grpc is imported"])
def test_an_agent_that_is_process_1_ends_while_it_starts(
    environ: dict[str, str], tmp_path: Path, eventually_sync: Callable[..., None], moment: str
) -> None:
    serve = [*PROGLOG, "serve", "--data-dir", str(tmp_path / "data"), "--bind-addr", "127.0.0.1:0", "--rpc-port", "0"]
    outside = subprocess.Popen(
        ["unshare", "--pid", "--fork", "--kill-child", *serve],
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        eventually_sync(lambda: len(children(outside.pid)) == 1, timeout=LIMIT, what="process 1")
        (first,) = children(outside.pid)
        eventually_sync(lambda: MOMENTS[moment](first, tmp_path), timeout=LIMIT, what=moment)
        os.kill(first, signal.SIGTERM)
        _, errors = outside.communicate(timeout=LIMIT)
    finally:
        outside.kill()

    assert outside.returncode in (143, 0)
    assert b"Traceback" not in errors


@pytest.mark.parametrize("number", END_SIGNALS)
def test_a_dashboard_ends_on_a_terminal_that_nobody_reads(environ: dict[str, str], number: signal.Signals) -> None:
    with Terminal([*PROGLOG, "dash", "--addr", "127.0.0.1:1"], env=environ) as terminal:
        terminal.until(lambda text: "cannot reach" in text, timeout=LIMIT)
        assert terminal.raw
        terminal.clog()
        for columns in (100, 120) * 10:  # it paints all of the screen anew, and that is not taken
            terminal.resize(columns, 40)
        terminal.process.send_signal(number)
        assert terminal.process.wait(patience(ENDS_WITHIN)) == 0
        assert not terminal.raw
        while terminal.read(0):
            pass
        assert b"\x1b[?1049l" in terminal.output


def test_a_dashboard_paints_again_when_its_terminal_is_read_again(environ: dict[str, str]) -> None:
    with Terminal([*PROGLOG, "dash", "--addr", "127.0.0.1:1"], env=environ) as terminal:
        terminal.until(lambda text: "cannot reach" in text, timeout=LIMIT)
        terminal.clog()
        for columns in (100, 120) * 50:
            terminal.resize(columns, 40)
        terminal.output.clear()
        terminal.send("?")
        terminal.until(lambda text: "Help" in text, timeout=LIMIT)
        terminal.send("qq")
        assert terminal.ended(LIMIT) == 0


@pytest.mark.parametrize("ignored", [False, True], ids=["told by SIGHUP", "not told, as under nohup"])
def test_a_dashboard_ends_with_its_terminal(environ: dict[str, str], ignored: bool) -> None:
    nohup = ["sh", "-c", 'trap "" HUP; exec "$@"', "sh"] if ignored else []
    with Terminal([*nohup, *PROGLOG, "dash", "--addr", "127.0.0.1:1"], env=environ) as terminal:
        terminal.until(lambda text: "cannot reach" in text, timeout=LIMIT)
        terminal.hang_up()
        assert terminal.process.wait(patience(ENDS_WITHIN)) == 0


@pytest.mark.parametrize(
    ("size", "term"), [((0, 0), "xterm-256color"), ((80, 0), "xterm-256color"), ((140, 40), "dumb")]
)
def test_a_terminal_without_a_size_or_a_kind_shows_the_dashboard(
    environ: dict[str, str], size: tuple[int, int], term: str
) -> None:
    with Terminal(
        [*PROGLOG, "dash", "--addr", "127.0.0.1:1"], columns=size[0], lines=size[1], term=term, env=environ
    ) as terminal:
        terminal.until(lambda text: "cannot reach" in text, timeout=LIMIT)
        terminal.process.send_signal(signal.SIGTERM)
        assert terminal.process.wait(patience(ENDS_WITHIN)) == 0


def test_bytes_that_are_no_text_are_no_keys_and_end_nothing(environ: dict[str, str]) -> None:
    with Terminal([*PROGLOG, "dash", "--addr", "127.0.0.1:1"], env=environ) as terminal:
        terminal.until(lambda text: "cannot reach" in text, timeout=LIMIT)
        os.write(terminal._master, b"\xff\xe9j\x1b[M\x20\xc8\xc8")
        terminal.output.clear()
        terminal.send("?")
        terminal.until(lambda text: "Help" in text, timeout=LIMIT)


@pytest.mark.parametrize("ending", [*END_SIGNALS, "hung up"], ids=str)
def test_a_dashboard_with_a_demo_ends_with_its_agents_though_nobody_reads(
    environ: dict[str, str], eventually_sync: Callable[..., None], ending: signal.Signals | str
) -> None:
    with Terminal([*PROGLOG, "dash", "--demo"], env=environ) as terminal:
        terminal.until(lambda text: "streaming" in text, timeout=LIMIT)
        agents = children(terminal.process.pid)
        assert len(agents) == 4
        if isinstance(ending, signal.Signals):
            terminal.clog()
            terminal.process.send_signal(ending)
        else:
            terminal.hang_up()
        assert terminal.process.wait(patience(ENDS_WITHIN)) == 0
        assert not any(map(is_there, agents))
        assert nothing_left(environ)


@pytest.mark.parametrize("number", END_SIGNALS)
def test_a_demo_that_waits_for_its_terminal_ends(
    environ: dict[str, str], eventually_sync: Callable[..., None], number: signal.Signals
) -> None:
    with Terminal([*PROGLOG, "demo"], env=environ, clogged=True) as terminal:
        scratch = Path(environ["TMPDIR"])
        eventually_sync(lambda: any(scratch.rglob("standard-library.txt")), timeout=LIMIT, what="the corpus")
        terminal.process.send_signal(number)
        assert terminal.process.wait(patience(ENDS_WITHIN)) == 128 + number
        assert nothing_left(environ)


def test_a_dashboard_without_keys_is_refused_in_a_sentence(environ: dict[str, str]) -> None:
    with Terminal(["sh", "-c", f"{sys.executable} -m proglog dash </dev/null"], env=environ) as terminal:
        assert terminal.ended(LIMIT) == 2
        assert "needs a terminal for input and output" in terminal.text
