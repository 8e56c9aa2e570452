"""A proxy between a client and an agent: it delays answers, cuts connections, and switches to another target."""

import asyncio
from typing import Self


class Proxy:
    """Forwards connections to an address; on demand withholds answers, and cuts every connection."""

    def __init__(self, target: str) -> None:
        """Forward nothing before the ``async with`` block.

        Args:
            target: HOST:PORT of where new connections go.
        """
        self.target = target
        """Target of new connections; may be changed."""
        self._answers = asyncio.Event()
        self._answers.set()
        self._writers: set[asyncio.StreamWriter] = set()
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

    def hold_answers(self) -> None:
        """Forward requests but no answers, until :meth:`cut`."""
        self._answers.clear()

    def cut(self) -> None:
        """Break every connection, discard withheld answers, and forward new connections."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()
        held, self._answers = self._answers, asyncio.Event()
        self._answers.set()
        held.set()  # its waiter finds the connection closed

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, _, port = self.target.rpartition(":")
        try:
            back, onward = await asyncio.open_connection(host, int(port))
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, onward}
        always = asyncio.Event()
        always.set()
        await asyncio.gather(_pass(reader, onward, always), _pass(back, writer, self._answers))


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, gate: asyncio.Event) -> None:
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
        writer.transport.abort()
