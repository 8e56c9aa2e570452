"""Serf's RPC port: what the stock ``serf`` command line asks an agent, answered by this one.

::

    client     {Command, Seq}  [{...}]        handshake first, then auth where a token is set, then anything
    agent      {Seq, Error}    [{...}]        in order of completion; streams continue under their Seq

The port is for operators on this machine: off unless asked for, and with a token wherever others could reach it. A
connection is bounded in what it sends, in what it makes the agent hold, and in how long it takes to say who it is.

Source: serf ``cmd/serf/command/agent/ipc.go``; the traffic of a stock client.
"""

import asyncio
import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgpack

from proglog.addr import join_addr
from proglog.agent.serf_calls import SerfCalls
from proglog.agent.serf_rpc_commands import NOTHING, Commands, Sent
from proglog.agent.serf_rpc_streams import Streams
from proglog.errors import ConfigError, InvalidRequestError, ProglogError
from proglog.tasks import TaskScope, cancel_and_wait

MAX_CLIENTS = 64
MAX_REQUEST_BYTES = 256 * 1024
MAX_UNREAD_BYTES = 1024 * 1024
"""Bytes held for a client that does not read; beyond that, the connection is closed."""
HELLO_SECONDS = 10.0
"""How long a client may take until it has said who it is."""
READ_BYTES = 65_536
VERSION = 1
MAX_SEQ = 2**64 - 1


@dataclass(frozen=True, slots=True)
class _Command:
    has_body: bool
    run: Callable[[Any, int, dict[str, Any]], Awaitable[None]]


class SerfRpc:
    """The port. ``async with`` listens and closes."""

    def __init__(
        self, host: str, port: int, *, token: str, calls: SerfCalls, commands: Commands, streams: Streams
    ) -> None:
        """Listen nowhere yet.

        Args:
            host: Address to listen on.
            port: 0: any that is free.
            token: What a client has to show; empty: nothing.
            calls: Acts.
            commands: Answers what takes one answer.
            streams: Events and log lines, for those who follow.
        """
        self.token = token
        self.calls = calls
        self.commands = commands
        self.streams = streams
        self._host, self._port = host, port
        self._server: asyncio.Server | None = None
        self._clients: dict[asyncio.Task[None], None] = {}

    @property
    def addr(self) -> str:
        """HOST:PORT."""
        assert self._server is not None, "the port has not been opened"
        return join_addr(self._host, self._server.sockets[0].getsockname()[1])

    async def __aenter__(self) -> Self:
        """Listen.

        Raises:
            ConfigError: The address is taken, or not this machine's.
        """
        try:
            self._server = await asyncio.start_server(self._serve, self._host, self._port)
        except OSError as exc:
            raise ConfigError(f"--serf-rpc-addr {join_addr(self._host, self._port)}: {exc.strerror or exc}") from exc
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the port and all connections."""
        if self._server is not None:
            self._server.close()
        await cancel_and_wait(*self._clients)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # a coroutine runs in one
        if len(self._clients) >= MAX_CLIENTS:
            next(iter(self._clients)).cancel()  # the oldest makes room
        self._clients[task] = None
        client = SerfRpcClient(self, writer)
        try:
            await client.serve(reader)
        except (OSError, TimeoutError, asyncio.CancelledError):
            return  # it went away, said nothing, or made room
        finally:
            del self._clients[task]
            await client.close()
            writer.transport.abort()


class SerfRpcClient:
    """One connection."""

    def __init__(self, rpc: SerfRpc, writer: asyncio.StreamWriter) -> None:
        """Nothing has been said."""
        self._rpc = rpc
        self._writer = writer
        self._greeted = False
        self._known = not rpc.token
        self._scope = TaskScope()
        self._ends: dict[int, Callable[[], None]] = {}
        self._pending: dict[str, Any] | None = None

    async def serve(self, reader: asyncio.StreamReader) -> None:
        """Answer requests until the connection ends, or says what makes no sense."""
        unpacker = msgpack.Unpacker(
            raw=False, unicode_errors="surrogateescape", max_buffer_size=MAX_REQUEST_BYTES, strict_map_key=False
        )
        async with asyncio.timeout(HELLO_SECONDS) as hello:
            while data := await reader.read(READ_BYTES):
                try:
                    unpacker.feed(data)
                    while (request := self._next(unpacker)) is not None:
                        if not await self._answer(*request):
                            await self._writer.drain()
                            return
                except (msgpack.UnpackException, ValueError, InvalidRequestError):
                    return  # not of this protocol
                if self._known and self._greeted:
                    hello.reschedule(None)
                await self._writer.drain()

    async def close(self) -> None:
        """End what it follows."""
        for end in list(self._ends.values()):
            end()
        await self._scope.close()

    def send(self, seq: int, body: object = None, error: str = "") -> None:
        """Send a header and, if there is one, a body; a client that does not read is cut off."""
        if self._writer.transport.get_write_buffer_size() > MAX_UNREAD_BYTES:
            self._writer.transport.abort()
            return
        self._writer.write(_packed({"Seq": seq, "Error": error}) + (b"" if body is None else _packed(body)))

    # What comes in

    def _next(self, unpacker: "msgpack.Unpacker") -> tuple[str, int, dict[str, Any]] | None:
        """Return the next request that is whole."""
        header = self._pending
        if header is None:
            header = _map(unpacker)
            if header is None:
                return None
        command, seq = header.get("Command"), header.get("Seq", 0)
        if not isinstance(command, str) or not isinstance(seq, int) or not 0 <= seq <= MAX_SEQ:
            raise InvalidRequestError("a request without a command")
        body: dict[str, Any] | None = {}
        if command in _COMMANDS and _COMMANDS[command].has_body:
            body = _map(unpacker)
            if body is None:
                self._pending = header
                return None
        self._pending = None
        return command, seq, body or {}

    async def _answer(self, command: str, seq: int, body: dict[str, Any]) -> bool:
        """Answer one request; return whether to keep the connection."""
        if command == "handshake":
            return self._greet(seq, body)
        if not self._greeted:
            self.send(seq, error="Handshake required")
            return False
        if command == "auth":
            return self._authenticate(seq, body)
        if not self._known:
            self.send(seq, error="Authentication required")
            return False
        found = _COMMANDS.get(command)
        if found is None:
            self.send(seq, error="Unsupported command")
            return False  # whether a body follows is not known
        await found.run(self, seq, body)
        return True

    def _greet(self, seq: int, body: dict[str, Any]) -> bool:
        error = "Handshake already performed" if self._greeted else ""
        if body.get("Version") != VERSION:
            error = "Unsupported IPC version"
        self._greeted = self._greeted or not error
        self.send(seq, error=error)
        return not error

    def _authenticate(self, seq: int, body: dict[str, Any]) -> bool:
        shown = _text(body.get("AuthKey", ""))
        right = hmac.compare_digest(shown.encode("utf-8", "surrogateescape"), self._rpc.token.encode())
        self._known = self._known or right
        self.send(seq, error="" if right or not self._rpc.token else "Invalid authentication token")
        return right or not self._rpc.token

    # Commands

    async def _plain(self, command: str, seq: int, body: dict[str, Any]) -> None:
        """Send the answer, or what went wrong: with a body all the same where a client reads one."""
        try:
            sent = await self._rpc.commands.run(command, body)
        except ProglogError as exc:
            sent = Sent(body=NOTHING.get(command), error=str(exc))
        self.send(seq, sent.body, sent.error)

    async def _slow(self, command: str, seq: int, body: dict[str, Any]) -> None:
        self._scope.start(self._plain(command, seq, body), name="serf-rpc-command")

    async def _query(self, seq: int, body: dict[str, Any]) -> None:
        self._scope.start(self._run_query(seq, body), name="serf-rpc-query")

    async def _run_query(self, seq: int, body: dict[str, Any]) -> None:
        said = False
        try:
            async for record in self._rpc.commands.query(body):
                if not said:
                    self.send(seq)
                    said = True
                if record is not None:
                    self.send(seq, record)
        except ProglogError as exc:
            self.send(seq, error=str(exc))
            return
        self.send(seq, {"Type": "done", "From": "", "Payload": b""})

    async def _stream(self, seq: int, body: dict[str, Any]) -> None:
        await self._follow(
            seq, lambda: self._rpc.streams.events(_text(body.get("Type", "")), lambda each: self.send(seq, each))
        )

    async def _monitor(self, seq: int, body: dict[str, Any]) -> None:
        await self._follow(
            seq, lambda: self._rpc.streams.log(_text(body.get("LogLevel", "")), lambda each: self.send(seq, each))
        )

    async def _follow(self, seq: int, begin: Callable[[], Callable[[], None]]) -> None:
        if seq in self._ends:
            self.send(seq, error="Stream with given sequence exists")
            return
        if len(self._ends) >= MAX_CLIENTS:
            self.send(seq, error=f"{MAX_CLIENTS} streams are open")
            return
        self.send(seq)
        try:
            self._ends[seq] = begin()
        except ProglogError as exc:
            self.send(seq, error=str(exc))

    async def _stop(self, seq: int, body: dict[str, Any]) -> None:
        end = self._ends.pop(body.get("Stop", -1), None)
        if end is not None:
            end()
        self.send(seq)

    async def _leave(self, seq: int, _body: dict[str, Any]) -> None:
        self.send(seq)
        await self._writer.drain()
        self._rpc.calls.leave()


def _one_answer(name: str, *, has_body: bool, slow: bool = False) -> tuple[str, _Command]:
    async def run(client: SerfRpcClient, seq: int, body: dict[str, Any]) -> None:
        await (client._slow if slow else client._plain)(name, seq, body)

    return name, _Command(has_body, run)


_COMMANDS: dict[str, _Command] = {
    "handshake": _Command(True, SerfRpcClient._stop),
    "auth": _Command(True, SerfRpcClient._stop),
    "stream": _Command(True, SerfRpcClient._stream),
    "monitor": _Command(True, SerfRpcClient._monitor),
    "stop": _Command(True, SerfRpcClient._stop),
    "query": _Command(True, SerfRpcClient._query),
    "leave": _Command(False, SerfRpcClient._leave),
    **dict(
        _one_answer(name, has_body=has_body, slow=name in ("join", "list-keys") or name.endswith("-key"))
        for has_body, names in (
            (True, ("event", "force-leave", "join", "members-filtered", "tags", "respond", "get-coordinate")),
            (True, ("install-key", "use-key", "remove-key")),
            (False, ("members", "stats", "list-keys")),
        )
        for name in names
    ),
}


def read_token(path: Path) -> str:
    """Return the token in a file: its first line.

    Raises:
        ConfigError: It cannot be read, or is empty.
    """
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeError) as exc:
        raise ConfigError(f"--serf-rpc-auth-file {path}: {getattr(exc, 'strerror', None) or exc}") from exc
    if not lines or not lines[0].strip():
        raise ConfigError(f"--serf-rpc-auth-file {path}: its first line is empty, and should be the token")
    return lines[0].strip()


def _map(unpacker: "msgpack.Unpacker") -> dict[str, Any] | None:
    try:
        value = unpacker.unpack()
    except msgpack.OutOfData:
        return None
    if not isinstance(value, dict):
        raise InvalidRequestError("expected a map")
    return {_text(key): each for key, each in value.items()}


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    return value if isinstance(value, str) else ""


def _packed(value: object) -> bytes:
    packed: bytes = msgpack.packb(value, use_bin_type=True, unicode_errors="surrogateescape")
    return packed
