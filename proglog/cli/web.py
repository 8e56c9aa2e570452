"""The dashboard in a browser on this machine: textual-serve, behind a guard of our own.

textual-serve starts a dashboard for each page and carries its screen over a websocket. It authenticates no caller: any
page open in the browser could reach it, by name through DNS rebinding or from a script. A guard precedes it::

    Host      127.0.0.1:PORT or localhost:PORT, else 403: a name that was rebound to loopback is none of them
    Origin    the same, where a browser sends one: a script of another site is turned away
    token     in the address that is printed, then in a cookie of this port: other users of this machine do not know it

It listens on 127.0.0.1 only, for at most eight pages at a time. A page loads nothing from other hosts, takes keys at
once, and has at most 500 x 200 cells. Its dashboard is a child process that ends with the page, and with the server
even when that is killed: it ends when its input does.
"""

import asyncio
import hmac
import json
import os
import secrets
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from proglog.cli import output
from proglog.errors import ConfigError, ProglogError

HOST = "127.0.0.1"
MAX_PAGES = 8
STOP_TIMEOUT = 3.0
REAP_SECONDS = 0.2
"""How long the loop waits for the dashboards to end; textual-serve does not wait for that."""
MAX_COLUMNS, MAX_LINES = 500, 200
"""Of a page's screen."""
MAX_MESSAGE_BYTES = 1024 * 1024
"""From a page: what is pasted at once."""
DRIVER = "proglog.tui.page_driver:PageDriver"

try:
    from aiohttp import WSMsgType, web
    from textual_serve.app_service import AppService
    from textual_serve.server import Server
except ImportError as missing:
    raise ConfigError(
        f'--web needs textual-serve ({missing}); expected: pip install "proglog-cluster[web]"'
    ) from missing

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_PAGE = Path(__file__).with_name("page.html")
_POLICY = (
    "default-src 'none'; script-src 'self' 'nonce-{nonce}'; style-src 'self' 'unsafe-inline'; font-src 'self' data:; "
    "img-src 'self' data:; connect-src {websocket}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""xterm.js makes its styles itself; scripts are those of this server and the page's own."""


def serve(command: Sequence[str], port: int) -> None:
    """Serve a dashboard to browsers on this machine until SIGINT or SIGTERM; prints where.

    Args:
        command: Starts one dashboard.
        port: To listen on; 0: any that is free.

    Raises:
        ProglogError: The port cannot be had.
    """
    asyncio.run(_serve(command, port))


async def _serve(command: Sequence[str], port: int) -> None:
    pages = Pages(command)
    runner = web.AppRunner(await pages.make_app(), shutdown_timeout=STOP_TIMEOUT, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, HOST, port)
        try:
            await site.start()
        except OSError as error:
            raise ProglogError(f"cannot listen on {HOST}:{port}: {error.strerror or error}") from error
        pages.listens_on(runner.addresses[0][1])
        output.line(f"{pages.public_url}/?token={pages.token}")
        output.flush()
        await _interrupted()
    finally:
        await runner.cleanup()
        await asyncio.sleep(REAP_SECONDS)


async def _interrupted() -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    await stopped.wait()


def screen_size(width: object, height: object) -> tuple[int, int]:
    """Return the size of a page's screen within bounds; 80x24 where it is none."""
    try:
        columns, lines = int(str(width)[:9]), int(str(height)[:9])
    except ValueError:
        return 80, 24
    return min(max(columns, 1), MAX_COLUMNS), min(max(lines, 1), MAX_LINES)


class Dashboard(AppService):
    """The process of one page."""

    def __init__(self, arguments: Sequence[str], socket: web.WebSocketResponse, downloads: Any) -> None:
        async def close() -> None:
            await socket.close()

        super().__init__(
            "",
            write_bytes=socket.send_bytes,
            write_str=socket.send_str,
            close=close,
            download_manager=downloads,
        )
        self._arguments = arguments

    async def _open_app_process(self, width: int = 80, height: int = 24) -> Process:
        """Start it without a shell, with a pipe whose end is its own end."""
        environment = {**os.environ, "TEXTUAL_DRIVER": DRIVER, "TEXTUAL_COLOR_SYSTEM": "truecolor"}
        environment |= {"COLUMNS": str(width), "ROWS": str(height)}
        process = await asyncio.create_subprocess_exec(
            *self._arguments, stdin=PIPE, stdout=PIPE, stderr=PIPE, env=environment
        )
        assert process.stdin is not None
        self._process, self._stdin = process, process.stdin
        return process

    async def end(self) -> None:
        """Ask it to end, then end it: a page that is gone has no dashboard."""
        process = self._process
        if process is None:
            return
        try:
            async with asyncio.timeout(STOP_TIMEOUT):
                await self.stop()
                await process.wait()
        except (TimeoutError, ConnectionError):
            pass
        finally:
            if process.returncode is None:
                process.kill()


class Pages(Server):
    """textual-serve's pages, for those who were given the address."""

    def __init__(self, command: Sequence[str]) -> None:
        super().__init__("", host=HOST, port=0, title="proglog dash")
        self.token = secrets.token_urlsafe(24)
        self._arguments = tuple(command)
        self._sockets: set[asyncio.Task[Any]] = set()

    def listens_on(self, port: int) -> None:
        """Take the port that the system gave."""
        self.port = port
        self.public_url = f"http://{HOST}:{port}"

    @property
    def cookie(self) -> str:
        """The cookie's name: browsers send cookies to every port of a host, so two servers must not share one."""
        return f"proglog-token-{self.port}"

    async def make_app(self) -> web.Application:
        """Return the application with the guard in front."""
        app: web.Application = await self._make_app()
        app.middlewares.append(self._guard)
        return app

    async def on_startup(self, app: web.Application) -> None:
        """Print nothing: the address is printed once it is known."""

    async def on_shutdown(self, app: web.Application) -> None:  # noqa: ARG002 - the signature of aiohttp
        """End the pages, and with each its dashboard."""
        for task in self._sockets:
            task.cancel()
        await asyncio.gather(*self._sockets, return_exceptions=True)

    async def handle_index(self, request: web.Request) -> web.Response:  # noqa: ARG002 - the signature of aiohttp
        """Return the page, which may load what this server has and nothing else."""
        nonce = secrets.token_urlsafe(12)
        websocket = f"ws://{HOST}:{self.port}"
        text = _PAGE.read_text("utf-8").replace("NONCE", nonce).replace("WEBSOCKET", f"{websocket}/ws")
        policy = _POLICY.format(nonce=nonce, websocket=websocket)
        headers = {"Content-Security-Policy": policy, "Referrer-Policy": "no-referrer", "Cache-Control": "no-store"}
        return web.Response(text=text, content_type="text/html", headers=headers)

    async def handle_websocket(self, request: web.Request) -> web.WebSocketResponse:
        """Run one dashboard; a page too many is turned away."""
        if len(self._sockets) >= MAX_PAGES:
            raise web.HTTPServiceUnavailable(text=f"at most {MAX_PAGES} pages at a time")
        task = asyncio.current_task()
        assert task is not None  # every handler runs in one
        self._sockets.add(task)
        socket = web.WebSocketResponse(heartbeat=15, max_msg_size=MAX_MESSAGE_BYTES)
        dashboard = Dashboard(self._arguments, socket, self.download_manager)
        try:
            await socket.prepare(request)
            await dashboard.start(*screen_size(request.query.get("width"), request.query.get("height")))
            await self._carry(socket, dashboard)
        finally:
            self._sockets.discard(task)
            await dashboard.end()
            await socket.close()
        return socket

    @staticmethod
    async def _carry(socket: web.WebSocketResponse, dashboard: Dashboard) -> None:
        """Hand keys and sizes to the dashboard until the page is gone; what makes no sense is left out."""
        async for message in socket:
            if message.type is not WSMsgType.TEXT:
                continue
            try:
                envelope = json.loads(message.data)
            except ValueError:
                continue
            match envelope:
                case ["stdin", str(keys)]:
                    await dashboard.send_bytes(keys.encode("utf-8", "replace"))
                case ["resize", {"width": width, "height": height}]:
                    await dashboard.set_terminal_size(*screen_size(width, height))
                case ["ping", str(data)]:
                    await socket.send_json(["pong", data])
                case ["blur"]:
                    await dashboard.blur()
                case ["focus"]:
                    await dashboard.focus()

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        hosts = {f"{name}:{self.port}" for name in (HOST, "localhost")}
        origin = request.headers.get("Origin")
        if request.host not in hosts or (origin is not None and origin.removeprefix("http://") not in hosts):
            raise web.HTTPForbidden(text="only pages of this machine")
        given = request.query.get("token") or request.cookies.get(self.cookie, "")
        if not hmac.compare_digest(given.encode(), self.token.encode()):
            raise web.HTTPForbidden(text="the address has a token in it, which is missing here")
        if request.path == "/" and request.host != f"{HOST}:{self.port}":
            raise web.HTTPFound(f"{self.public_url}/?token={self.token}")  # the page speaks only to that name
        answer = await handler(request)
        if request.path == "/":
            answer.set_cookie(self.cookie, self.token, httponly=True, samesite="Strict")
        return answer
