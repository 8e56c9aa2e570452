"""Gossip's sockets: one port for UDP and TCP, bounded and timed."""

import asyncio
import socket
from collections.abc import Callable
from types import TracebackType
from typing import Self

from proglog.errors import ConfigError
from proglog.gossip.errors import MalformedMessageError
from proglog.gossip.framing import StreamMessage, StreamReader
from proglog.gossip.keyring import Keyring
from proglog.gossip.member import Address
from proglog.tasks import TaskScope, cancel_and_wait
from proglog.telemetry.events import GOSSIP_STEP_FAILED, log_event

RECEIVE_BUFFER_BYTES = 2 * 1024 * 1024
"""As agents ask for: the kernel's default holds only some 250 packets of a burst."""
MAX_DATAGRAM_BYTES = 65_536
MAX_STREAMS = 128
READ_BYTES = 65_536
MAX_DATAGRAMS_A_TURN = 1024

OnDatagram = Callable[[bytes, Address], None]
Answer = Callable[[StreamMessage | MalformedMessageError], bytes | None]


class Transport:
    """Sends and receives for one node. ``async with`` binds and closes."""

    def __init__(
        self, host: str, port: int, *, keyring: Keyring | None, timeout: float, on_datagram: OnDatagram, answer: Answer
    ) -> None:
        """Keep what is needed; nothing is bound yet.

        Args:
            host: IP address to bind to.
            port: For UDP and TCP; 0: any that is free for both.
            keyring: Of the streams.
            timeout: Seconds that one stream may take.
            on_datagram: Called with each datagram.
            answer: Called with a request on a stream, or what was wrong with it; returns the reply.
        """
        self.address: Address = (host, port)
        self._keyring = keyring
        self._timeout = timeout
        self._on_datagram = on_datagram
        self._answer = answer
        self._udp: socket.socket | None = None
        self._server: asyncio.Server | None = None
        self._streams = asyncio.Semaphore(MAX_STREAMS)
        self._serving: set[asyncio.Task[None]] = set()
        self._exchanges = TaskScope()

    async def __aenter__(self) -> Self:
        """Bind.

        Raises:
            ConfigError: The address is taken, or not this machine's.
        """
        host, port = self.address
        for attempt in range(16):
            try:
                self._udp = _bind_udp(host, port)
                bound = self._udp.getsockname()[1]
                self._server = await asyncio.start_server(self._serve, host, bound)
            except OSError as exc:
                self._close_udp()
                if port or attempt == 15:
                    reason = exc.strerror or str(exc)
                    raise ConfigError(
                        f"cannot listen on {host}:{port} for gossip: {reason}; choose another --bind-addr"
                    ) from exc
                continue  # the port that was free for UDP is taken for TCP: another one
            self.address = (host, bound)
            break
        assert self._udp is not None  # the loop above bound it, or raised
        asyncio.get_running_loop().add_reader(self._udp, self.drain)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close; what was sent is on its way."""
        if self._udp is not None:
            asyncio.get_running_loop().remove_reader(self._udp)
        self._close_udp()
        if self._server is not None:
            self._server.close()
        await cancel_and_wait(*self._serving)
        await self._exchanges.close()

    def send(self, data: bytes, address: Address) -> None:
        """Send a datagram; what the kernel refuses counts as lost, as gossip expects."""
        if self._udp is not None:
            try:
                self._udp.sendto(data, address)
            except OSError:
                return  # loss: the protocol repeats what matters

    def drain(self) -> None:
        """Take in every datagram that has arrived."""
        for _ in range(MAX_DATAGRAMS_A_TURN):
            if self._udp is None:
                return
            try:
                data, source = self._udp.recvfrom(MAX_DATAGRAM_BYTES)
            except BlockingIOError:
                return
            except OSError:
                continue  # an earlier send was refused: the error arrives here
            self._on_datagram(data, (source[0], source[1]))

    def exchange(
        self, data: bytes, address: Address, timeout: float, done: Callable[[StreamMessage | None, str], None]
    ) -> None:
        """Open a stream, send ``data``, and call ``done`` with the reply, or with why there is none."""

        async def run() -> None:
            try:
                async with asyncio.timeout(min(timeout, self._timeout)):
                    message = await self._exchange(data, address)
            except TimeoutError:  # before OSError, whose subclass it is
                done(None, f"no answer within {min(timeout, self._timeout):g} s")
            except (OSError, MalformedMessageError) as exc:
                done(None, getattr(exc, "strerror", None) or str(exc) or type(exc).__name__)
            except Exception as exc:  # noqa: BLE001 - the exchange has to end for its caller, and the membership goes on
                log_event(GOSSIP_STEP_FAILED, exc_info=exc)
                done(None, f"this is a bug: {exc!r}")
            else:
                done(message, "")

        self._exchanges.start(run(), name="gossip-exchange")

    async def _exchange(self, data: bytes, address: Address) -> StreamMessage:
        reader, writer = await asyncio.open_connection(*address)
        try:
            writer.write(data)
            await writer.drain()
            return await self._read(reader)
        finally:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._serving.add(task)
            task.add_done_callback(self._serving.discard)
        try:
            if not self._streams.locked():  # more at once than anybody honest opens: refused
                async with self._streams, asyncio.timeout(self._timeout):
                    await self._serve_one(reader, writer)
        except (OSError, TimeoutError):
            return  # it went away, or was too slow: it will come again
        finally:
            writer.close()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request: StreamMessage | MalformedMessageError
        try:
            request = await self._read(reader)
        except MalformedMessageError as exc:
            request = exc
        reply = self._answer(request)
        if reply is not None:
            writer.write(reply)
            await writer.drain()

    async def _read(self, reader: asyncio.StreamReader) -> StreamMessage:
        stream = StreamReader(self._keyring)
        while data := await reader.read(READ_BYTES):
            message = stream.feed(data)
            if message is not None:
                return message
        raise MalformedMessageError("the stream ended before its message did")

    def _close_udp(self) -> None:
        if self._udp is not None:
            self._udp.close()
            self._udp = None


def _bind_udp(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    udp = socket.socket(family, socket.SOCK_DGRAM)
    try:
        udp.setblocking(False)
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        udp.bind((host, port))
    except OSError:
        udp.close()
        raise
    return udp
