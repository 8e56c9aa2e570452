"""A proxy between a client and an agent: it delays either way, cuts connections, and switches to another target."""

import asyncio
from collections.abc import Callable
from typing import Self


class Proxy:
    """Forwards connections to an address; on demand withholds answers or requests, and cuts every connection."""

    def __init__(self, target: str) -> None:
        """Forward nothing before the ``async with`` block.

        Args:
            target: HOST:PORT of where new connections go.
        """
        self.target = target
        """Target of new connections; may be changed."""
        self._answers, self._requests = _open_gate(), _open_gate()
        self._stranded: list[asyncio.Event] = []
        """Gates of requests whose client is cut off: their connections to the agent stay until :meth:`cut`."""
        self._clients: set[asyncio.StreamWriter] = set()
        self._agents: set[asyncio.StreamWriter] = set()
        self.forwarded = 0
        """Connections that reached their target."""
        self._serving: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def addr(self) -> str:
        """Its listening address."""
        assert self._server is not None
        return f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aenter__(self) -> Self:
        """Listen."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Cut every connection, and stop listening."""
        assert self._server is not None
        self._server.close()
        self.cut()
        if self._serving:
            await asyncio.wait(self._serving, timeout=5)

    def hold_answers(self) -> None:
        """Forward requests but no answers, until :meth:`cut`."""
        self._answers.clear()

    def hold_requests(self) -> None:
        """Forward answers but no requests, until :meth:`strand` or :meth:`cut`."""
        self._requests.clear()

    def strand(self) -> None:
        """Break every connection for its client only: withheld requests stay on their way until :meth:`deliver`."""
        self._stranded.append(self._requests)
        self._requests = _open_gate()
        _abort(self._clients)

    def deliver(self) -> None:
        """Pass on the stranded requests."""
        for gate in self._stranded:
            gate.set()

    def cut(self) -> None:
        """Break every connection, discard what is withheld, and forward new connections."""
        _abort(self._clients)
        _abort(self._agents)
        held = self._answers, self._requests  # their waiters find the connection closed
        self._answers, self._requests = _open_gate(), _open_gate()
        for gate in (*held, *self._stranded):
            gate.set()
        self._stranded.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving = asyncio.current_task()
        assert serving is not None
        self._serving.add(serving)
        try:
            await self._forward(reader, writer)
        finally:
            self._serving.discard(serving)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, _, port = self.target.rpartition(":")
        try:
            back, onward = await asyncio.open_connection(host, int(port))
        except OSError:
            writer.transport.abort()
            return
        self.forwarded += 1
        self._clients.add(writer)
        self._agents.add(onward)
        requests = self._requests
        forward = _pass(reader, onward, requests, lambda: requests in self._stranded)
        await asyncio.gather(forward, _pass(back, writer, self._answers, lambda: False))


def _open_gate() -> asyncio.Event:
    gate = asyncio.Event()
    gate.set()
    return gate


def _abort(writers: set[asyncio.StreamWriter]) -> None:
    for writer in writers:
        writer.transport.abort()
    writers.clear()


async def _pass(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, gate: asyncio.Event, stays_open: Callable[[], bool]
) -> None:
    try:
        while data := await reader.read(1 << 16):
            await gate.wait()
            if writer.transport.is_closing():
                return
            writer.write(data)
            await writer.drain()
    except OSError:
        return  # cut
    finally:
        if not stays_open():
            writer.transport.abort()
