"""The dashboard in a browser on this machine: textual-serve, behind a guard of our own.

textual-serve starts a dashboard for each page and carries its screen over a websocket. It authenticates no caller: any
page open in the browser could reach it, by name through DNS rebinding or from a script. A guard precedes it::

    Host      127.0.0.1:PORT or localhost:PORT, else 403: a name that was rebound to loopback is none of them
    Origin    the same, where a browser sends one: a script of another site is turned away
    token     in the address that is printed, then in a cookie: other users of this machine do not know it

It listens on 127.0.0.1 only, for at most eight pages at a time.
"""

import asyncio
import hmac
import secrets
import shlex
import signal
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from proglog.cli import output
from proglog.errors import ConfigError, ProglogError

HOST = "127.0.0.1"
MAX_PAGES = 8
STOP_TIMEOUT = 3.0
REAP_SECONDS = 0.2
"""How long the loop waits for the dashboards to end; textual-serve does not wait for that."""
_COOKIE = "proglog-token"

try:
    from aiohttp import web
    from textual_serve.server import Server
except ImportError as missing:
    raise ConfigError(
        f'--web needs textual-serve ({missing}); expected: pip install "proglog-cluster[web]"'
    ) from missing

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


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


class Pages(Server):
    """textual-serve's pages, for those who were given the address."""

    def __init__(self, command: Sequence[str]) -> None:
        super().__init__(f"exec {shlex.join(command)}", host=HOST, port=0, title="proglog dash")
        self.token = secrets.token_urlsafe(24)
        self._sockets: set[asyncio.Task[Any]] = set()

    def listens_on(self, port: int) -> None:
        """Take the port that the system gave."""
        self.port = port
        self.public_url = f"http://{HOST}:{port}"

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

    async def handle_websocket(self, request: web.Request) -> web.WebSocketResponse:
        """Run one dashboard; a page too many is turned away."""
        if len(self._sockets) >= MAX_PAGES:
            raise web.HTTPServiceUnavailable(text=f"at most {MAX_PAGES} pages at a time")
        task = asyncio.current_task()
        assert task is not None  # every handler runs in one
        self._sockets.add(task)
        try:
            answer: web.WebSocketResponse = await super().handle_websocket(request)
        finally:
            self._sockets.discard(task)
        return answer

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        hosts = {f"{name}:{self.port}" for name in (HOST, "localhost")}
        origin = request.headers.get("Origin")
        if request.host not in hosts or (origin is not None and origin.removeprefix("http://") not in hosts):
            raise web.HTTPForbidden(text="only pages of this machine")
        given = request.query.get("token") or request.cookies.get(_COOKIE, "")
        if not hmac.compare_digest(given.encode(), self.token.encode()):
            raise web.HTTPForbidden(text="the address has a token in it, which is missing here")
        if request.path == "/" and request.host != f"{HOST}:{self.port}":
            raise web.HTTPFound(f"{self.public_url}/?token={self.token}")  # the page speaks only to that name
        answer = await handler(request)
        if request.path == "/":
            answer.set_cookie(_COOKIE, self.token, httponly=True, samesite="Strict")
        return answer
