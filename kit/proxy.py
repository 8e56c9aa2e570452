"""A proxy between a client and an agent: it holds answers back, cuts connections, and turns to another target."""

import asyncio
from typing import Self


class Proxy:
    """Passes connections on to an address; on demand holds back what comes from there, and cuts everything."""

    def __init__(self, target: str) -> None:
        """Pass nothing on before the ``async with`` block.

        Args:
            target: HOST:PORT of where new connections go.
        """
        self.target = target
        """Where new connections go; may be changed."""
        self._answers = asyncio.Event()
        self._answers.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    @property
    def addr(self) -> str:
        """Where it listens."""
        assert self._server is not None
        return f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aenter__(self) -> Self:
        """Listen."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Cut everything, and listen no more."""
        assert self._server is not None
        self._server.close()
        self.cut()

    def hold_answers(self) -> None:
        """Let requests pass, and nothing back, until :meth:`cut`."""
        self._answers.clear()

    def cut(self) -> None:
        """Break every connection, answers that were held back included, and pass new ones on."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()
        held, self._answers = self._answers, asyncio.Event()
        self._answers.set()
        held.set()  # whoever waits for it finds the connection gone

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
