"""`dash --demo` and `dash --web`: they need nothing, show something, and leave nothing."""

import asyncio
import fcntl
import os
import pty
import random
import re
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

import proglog.cli
from proglog.cli import web
from proglog.cli.app import invoke
from proglog.cli.demo.traffic import orders
from tests.e2e.zipapp import zipapp

LIMIT = 40.0


def _read_until(terminal: int, words: bytes) -> bytes:
    seen = b""
    deadline = time.monotonic() + LIMIT
    while words not in seen and time.monotonic() < deadline:
        seen += os.read(terminal, 65_536)
    assert words in seen
    return seen


def _is_there(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _gone(pids: list[int]) -> bool:
    deadline = time.monotonic() + LIMIT
    while any(map(_is_there, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not any(map(_is_there, pids))


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PROGLOG_", "TEXTUAL"))}
    return clean | {
        "TMPDIR": str(tmp_path),
        "XDG_CONFIG_HOME": str(tmp_path),
        "TERM": "xterm-256color",
        "LANG": "C.UTF-8",
    }


@pytest.fixture
def demo(environ: dict[str, str]) -> "Iterator[tuple[subprocess.Popen[bytes], int]]":
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 140, 0, 0))
    command = [sys.executable, "-m", "proglog", "dash", "--demo"]
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environ, start_new_session=True)
    os.close(theirs)
    yield process, ours
    process.kill()
    process.wait()
    os.close(ours)


@pytest.mark.parametrize("ending", ["q", "SIGTERM", "SIGKILL"])
def test_the_demo_shows_traffic_and_leaves_nothing_behind(demo, tmp_path: Path, ending: str) -> None:
    process, terminal = demo
    _read_until(terminal, b"Copies")
    agents = _children(process.pid)
    assert len(agents) == 4
    if ending == "q":
        os.write(terminal, b"q")
    else:
        process.send_signal(signal.Signals[ending])
    process.wait(LIMIT)
    assert _gone(agents)
    if ending != "SIGKILL":  # after which nobody is left to clean up files
        assert process.returncode == 0
        assert list(tmp_path.iterdir()) == []


def test_the_traffic_of_a_demo_comes_in_waves_and_is_the_same_every_time() -> None:
    def counts(shop: int) -> list[int]:
        rng = random.Random(shop)
        return [len(orders(shop, step, rng)) for step in range(400)]

    assert counts(0) == counts(0)
    assert max(counts(0)) > 400
    assert min(counts(0)) < 5
    assert sum(counts(0)) > sum(counts(1)) > sum(counts(2))


@pytest.fixture
def served(environ: dict[str, str]) -> "Iterator[tuple[subprocess.Popen[str], str]]":
    command = [sys.executable, "-m", "proglog", "dash", "--web", "--port", "0", "--addr", "127.0.0.1:1"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ)
    yield process, process.stdout.readline().strip()
    process.kill()
    process.communicate()


async def _until_closed(socket: aiohttp.ClientWebSocketResponse) -> None:
    async for _ in socket:
        pass


async def _shown(socket: aiohttp.ClientWebSocketResponse, words: bytes) -> None:
    seen = b""
    async with asyncio.timeout(LIMIT):
        while words not in seen:
            message = await socket.receive()
            assert message.type not in {aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED}, seen
            seen += message.data if isinstance(message.data, bytes) else str(message.data).encode()


@asynccontextmanager
async def _opened(url: str, size: str) -> "AsyncIterator[tuple[aiohttp.ClientWebSocketResponse, str, str]]":
    base = url.partition("/?")[0]
    assert base.startswith("http://127.0.0.1:")
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        async with session.get(url) as page:
            assert page.status == 200
            text, policy = await page.text(), page.headers["Content-Security-Policy"]
        async with session.ws_connect(f"{base.replace('http', 'ws')}/ws?{size}") as socket:
            yield socket, text, policy


async def test_a_page_shows_the_first_frame_and_stops_with_the_server(served) -> None:
    process, url = served
    async with _opened(url, "width=100&height=30") as (socket, page, policy):
        assert "proglog dash" in page
        assert re.findall(r"https?://[^\"' ]+", page) == []  # nothing comes from another host
        assert policy.startswith("default-src 'none'")
        await _shown(socket, b"Members")
        await socket.send_json(["focus"])
        await socket.send_str("no JSON")
        await socket.send_json(["resize", {"width": 10**9, "height": "x"}])
        await socket.send_json(["stdin", "?"])
        await _shown(socket, b"Help")
        dashboards = _children(process.pid)
        assert len(dashboards) == 1
        process.send_signal(signal.SIGTERM)
        await asyncio.gather(asyncio.to_thread(process.wait, LIMIT), _until_closed(socket))
    assert process.returncode == 0
    assert _gone(dashboards)
    assert "Traceback" not in process.stderr.read()


async def test_the_dashboard_of_a_page_ends_with_a_server_that_is_killed(served) -> None:
    process, url = served
    async with _opened(url, "width=1&height=1") as (socket, _, _):
        await _shown(socket, b"\x1b[?1049h")
        dashboards = _children(process.pid)
        process.kill()
    assert _gone(dashboards)


async def test_a_page_of_a_zipapp_has_its_dashboard(environ: dict[str, str], tmp_path: Path) -> None:
    """The dashboard of a page is a process of its own, which finds the packages of the file, too."""
    clean = {name: value for name, value in environ.items() if not name.startswith("PYTHON")}
    command = [*zipapp(tmp_path), "dash", "--web", "--port", "0", "--addr", "127.0.0.1:1"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=clean, cwd=tmp_path
    )
    try:
        assert process.stdout is not None
        async with _opened(process.stdout.readline().strip(), "width=100&height=30") as (socket, _, _):
            await _shown(socket, b"Members")
    finally:
        process.kill()
        process.communicate()


async def test_two_servers_have_a_cookie_each(served) -> None:
    _, url = served
    port = int(url.partition("127.0.0.1:")[2].partition("/")[0])
    async with aiohttp.ClientSession() as session, session.get(url) as page:
        assert list(page.cookies) == [f"proglog-token-{port}"]


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        (("100", "30"), (100, 30)),
        (("100000000000000000", "999999"), (500, 200)),
        (("-5", 0), (1, 1)),
        (("x", None), (80, 24)),
        (([], {}), (80, 24)),
    ],
)
def test_a_page_has_a_screen_of_bounded_size(asked, given) -> None:
    assert web.screen_size(*asked) == given


@pytest.mark.parametrize(
    ("headers", "with_token"),
    [
        ({"Host": "evil.example"}, True),
        ({"Origin": "http://evil.example"}, True),
        ({"Origin": "null"}, True),
        ({}, False),
    ],
)
@pytest.mark.parametrize("path", ["/", "/ws"])
async def test_nobody_else_is_let_in(served, headers: dict[str, str], with_token: bool, path: str) -> None:
    _, url = served
    base, _, token = url.partition("/?token=")
    query = {"token": token} if with_token else {}
    async with aiohttp.ClientSession() as session, session.get(base + path, params=query, headers=headers) as answer:
        assert answer.status == 403


async def test_it_listens_on_loopback_alone(served) -> None:
    process, url = served
    port = int(url.partition("127.0.0.1:")[2].partition("/")[0])
    listening = [
        line.split()[1]
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/{process.pid}/net/{table}").read_text().splitlines()[1:]
        if line.split()[3] == "0A" and line.split()[1].endswith(f":{port:04X}")
    ]
    assert listening == [f"0100007F:{port:04X}"]


def test_without_textual_serve_it_says_what_to_install(capsys, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "textual_serve.server", None)
    monkeypatch.delitem(sys.modules, "proglog.cli.web", raising=False)
    monkeypatch.delattr(proglog.cli, "web", raising=False)
    assert invoke(["dash", "--web"]) == 2
    assert 'pip install "proglog-cluster[web]"' in capsys.readouterr().err


def test_a_demo_is_no_replay(capsys) -> None:
    assert invoke(["dash", "--demo", "--replay", "x"]) == 2
    assert "cannot be combined" in capsys.readouterr().err
