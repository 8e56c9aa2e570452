"""Gossip's sockets: one port for UDP and TCP, bounded and timed.

A stranger costs next to nothing before its first whole message. Of too many streams at once, the oldest of the address
that holds most is closed, so that one address takes nothing from others; and what does not read or write in time is
cut off, not flushed. What takes long to decode is decoded on a thread.
"""

import asyncio
import socket
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from random import Random, SystemRandom
from types import TracebackType
from typing import Self

from proglog.agent.resolver import Resolver
from proglog.errors import ConfigError, UnavailableError
from proglog.gossip.errors import MalformedMessageError
from proglog.gossip.framing import StreamMessage, StreamReader
from proglog.gossip.keyring import Keyring
from proglog.gossip.member import Address
from proglog.gossip.member_rules import MemberRules
from proglog.tasks import TaskScope, cancel_and_wait
from proglog.telemetry.emit import log_event
from proglog.telemetry.events import GOSSIP_STEP_FAILED

RECEIVE_BUFFER_BYTES = 2 * 1024 * 1024
"""As agents ask for: the kernel's default holds only some 250 packets of a burst."""
MAX_DATAGRAM_BYTES = 65_536
ITSELF = "is this node itself"
"""End of the error for an address that is the node's own."""
MAX_STREAMS = 128
"""Streams that others opened, at once."""
FIRST_BYTE_SECONDS = 2.0
MAX_UNFINISHED_BYTES = 64 * 1024 * 1024
"""Bound on incomplete messages held over all streams."""
SMALL_STREAM_BYTES = 1024 * 1024
"""A stream with less than this is not cut off for what others hold."""
MAX_STRANGERS_BYTES, STRANGERS_SMALL_BYTES = 8 * 1024 * 1024, 64 * 1024
"""The same for streams from hosts without a known member: what joins knows little, and says little."""
READ_BYTES = 65_536
DECODED_AT_ONCE = 16 * 1024
"""Longer messages are decoded on a thread."""
DRAIN_SECONDS = 0.005
"""What datagrams may keep the loop from everything else."""
ADDRESS_SECONDS = 3.0
"""Time limit for each address of a name that has several."""

_ALL = MemberRules()

OnDatagram = Callable[[bytes, Address], None]
Answer = Callable[[StreamMessage | MalformedMessageError, Address], bytes | None]


@dataclass(slots=True)
class Traffic:
    """Datagrams and their bytes, without the headers of UDP and IP."""

    datagrams_sent: int = 0
    datagrams_received: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0


class Transport:
    """Sends and receives for one node. ``async with`` binds and closes."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        keyring: Keyring | None,
        timeout: float,
        label: bytes = b"",
        rules: MemberRules = _ALL,
        knows: Callable[[str], bool] = lambda _host: False,
        on_datagram: OnDatagram,
        answer: Answer,
        resolver: Resolver,
        random: Random | None = None,
    ) -> None:
        """Keep what is needed; nothing is bound yet.

        Args:
            host: IP address to bind to.
            port: For UDP and TCP; 0: any that is free for both.
            keyring: Of the streams.
            timeout: Seconds that one stream may take.
            label: The cluster's, on every stream.
            rules: Where streams may come from.
            knows: Whether a member is known at a host.
            on_datagram: Called with each datagram.
            answer: Called with a request on a stream, or what was wrong with it, and where it came from; returns the
                reply.
            resolver: Looks up names that streams are opened to.
            random: Chooses among the addresses of a name; the system's unless a test gives its own.
        """
        self.address: Address = (host, port)
        self.own: set[Address] = set()
        """This node's own addresses: never called."""
        self.unsent = 0
        """Datagrams that the kernel refused: lost, as far as the protocol is concerned."""
        self.traffic = Traffic()
        """Datagrams since the start."""
        self._keyring = keyring
        self._label = label
        self._rules = rules
        self._knows = knows
        self._timeout = timeout
        self._on_datagram = on_datagram
        self._answer = answer
        self._resolver = resolver
        self._random = random or SystemRandom()
        self._udp: socket.socket | None = None
        self._server: asyncio.Server | None = None
        self._serving: dict[asyncio.Task[None], str] = {}
        self._unfinished = self._strangers_unfinished = 0
        self._decoding = asyncio.Semaphore(1)  # more threads at once would take the loop's turns, not time of its own
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

    # Datagrams

    def send(self, data: bytes, address: Address) -> None:
        """Send a datagram; what the kernel refuses counts as lost, as gossip expects."""
        if self._udp is not None:
            try:
                self._udp.sendto(data, address)
            except OSError:
                self.unsent += 1
            else:
                self.traffic.datagrams_sent += 1
                self.traffic.bytes_sent += len(data)

    def drain(self) -> bool:
        """Take in datagrams that have arrived, for ``DRAIN_SECONDS``; return whether that was all.

        The loop calls again for the rest, after everything else had its turn.
        """
        until = time.monotonic() + DRAIN_SECONDS
        while self._udp is not None:
            try:
                data, source = self._udp.recvfrom(MAX_DATAGRAM_BYTES)
            except BlockingIOError:
                return True
            except OSError:
                continue  # an earlier send was refused: the error arrives here
            self.traffic.datagrams_received += 1
            self.traffic.bytes_received += len(data)
            self._on_datagram(data, (source[0], source[1]))
            if time.monotonic() > until:
                return False
        return True

    # Streams that this node opens

    def exchange(
        self, data: bytes, address: Address, timeout: float, done: Callable[[StreamMessage | None, str], None]
    ) -> None:
        """Open a stream, send ``data``, and call ``done`` once: with the reply, or with why there is none.

        A name is looked up, and its addresses are tried in random order until one answers.
        """

        async def run() -> None:
            try:
                async with asyncio.timeout(min(timeout, self._timeout)):
                    message = await self._exchange_with_any(data, address)
            except TimeoutError:  # before OSError, whose subclass it is
                done(None, f"no answer within {min(timeout, self._timeout):g} s")
            except (OSError, MalformedMessageError, UnavailableError) as exc:
                done(None, _reason(exc))
            except asyncio.CancelledError:
                done(None, "this node stops")
                raise
            except Exception as exc:  # noqa: BLE001 - the exchange must end for its caller, and the membership continues
                log_event(GOSSIP_STEP_FAILED, exc_info=exc)
                done(None, f"this is a bug: {exc!r}")
            else:
                done(message, "")

        self._exchanges.start(run(), name="gossip-exchange")

    async def _exchange_with_any(self, data: bytes, address: Address) -> StreamMessage:
        host, port = address
        hosts = [each for each in await self._resolver.resolve(host) if (each, port) not in self.own]
        self._random.shuffle(hosts)
        if not hosts:
            raise UnavailableError(f"{host}:{port} {ITSELF}")
        reasons: list[str] = []
        for each in hosts:
            try:
                async with asyncio.timeout(None if len(hosts) == 1 else ADDRESS_SECONDS):
                    return await self._exchange(data, (each, port))
            except TimeoutError:
                if len(hosts) == 1:
                    raise
                reasons.append(f"{each}: no answer within {ADDRESS_SECONDS:g} s")
            except (OSError, MalformedMessageError) as exc:
                reasons.append(f"{each}: {_reason(exc)}" if len(hosts) > 1 else _reason(exc))
        raise UnavailableError("; ".join(reasons))

    async def _exchange(self, data: bytes, address: Address) -> StreamMessage:
        reader, writer = await asyncio.open_connection(*address)
        try:
            writer.write(data)
            await writer.drain()
            message = await self._read(reader, StreamReader(self._keyring, self._label, is_reply=True))
        except BaseException:
            writer.transport.abort()  # what the other side did not read is not kept for it
            raise
        writer.close()
        return message

    # Streams that others open

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # a coroutine runs in one
        host, port = (*(writer.get_extra_info("peername") or ("unknown", 0)), 0)[:2]
        if not self._rules.allows(host):
            self._answer(MalformedMessageError("a stream from a network that is not allowed here"), (host, port))
            writer.transport.abort()
            return
        self._make_room()
        self._serving[task] = host
        try:
            async with asyncio.timeout(self._timeout):
                await self._serve_one(reader, writer, (host, port))
        except (OSError, TimeoutError):
            return  # it went away, or was too slow: it will come again
        except asyncio.CancelledError:
            return  # it made room for others, or this node stops
        finally:
            del self._serving[task]
            writer.transport.abort()  # what it did not read in time is not kept for it

    def _make_room(self) -> None:
        """Close the oldest stream of the address that has most, if there are too many."""
        if len(self._serving) >= MAX_STREAMS:
            counts = Counter(self._serving.values())
            most = max(counts.values())
            next(task for task, host in self._serving.items() if counts[host] == most).cancel()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, source: Address) -> None:
        request: StreamMessage | MalformedMessageError
        async with asyncio.timeout(FIRST_BYTE_SECONDS):
            first = await reader.read(READ_BYTES)
        if not first:
            return  # a probe of whether the port is open
        try:
            request = await self._read(reader, StreamReader(self._keyring, self._label), first, source[0])
        except MalformedMessageError as exc:
            request = exc
        reply = self._answer(request, source)
        if reply is not None:
            writer.write(reply)
            await writer.drain()
            writer.write_eof()
            while await reader.read(READ_BYTES):  # until it has read the reply: aborting earlier would lose it
                continue

    async def _read(
        self, reader: asyncio.StreamReader, stream: StreamReader, first: bytes = b"", caller: str = ""
    ) -> StreamMessage:
        held, is_stranger = 0, bool(caller) and not self._knows(caller)
        try:
            while data := first or await reader.read(READ_BYTES):
                first = b""
                held += len(data)
                self._unfinished += len(data)
                self._strangers_unfinished += len(data) * is_stranger
                if held > SMALL_STREAM_BYTES and self._unfinished > MAX_UNFINISHED_BYTES:
                    raise MalformedMessageError(
                        f"more than {MAX_UNFINISHED_BYTES:,} bytes of messages are not whole yet"
                    )
                if is_stranger and held > STRANGERS_SMALL_BYTES and self._strangers_unfinished > MAX_STRANGERS_BYTES:
                    raise MalformedMessageError(
                        f"more than {MAX_STRANGERS_BYTES:,} bytes of strangers' messages are not whole yet"
                    )
                if held > DECODED_AT_ONCE:
                    async with self._decoding:
                        message = await asyncio.to_thread(stream.feed, data)
                else:
                    message = stream.feed(data)
                if message is not None:
                    return message
        finally:
            self._unfinished -= held
            self._strangers_unfinished -= held * is_stranger
        raise MalformedMessageError("the stream ended before its message did")

    def _close_udp(self) -> None:
        if self._udp is not None:
            self._udp.close()
            self._udp = None


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


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
