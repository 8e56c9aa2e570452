"""Append records, one per line, from files or stdin.

A record is acknowledged once it is durable on the agent, or with --acks on that many nodes. A broken connection is
retried for --timeout seconds without appending anything twice. Of several addresses, the next one takes over when an
agent goes away; not while records sent to it have no answer, which only it can give. The summary on stderr counts the
acknowledged records; if the connection stays broken, also those not sent and those of unknown outcome: these may or may
not be in the log, and sending them again may append them twice.
"""

import asyncio
import os
import select
import sys
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from proglog.cli import diagnostics, options
from proglog.cli.heap import keep_freed_memory
from proglog.cli.interruption import terminable
from proglog.cli.serve_config import choice
from proglog.errors import ConfigError, InvalidRequestError, ProglogError, RecordTooLargeError

if TYPE_CHECKING:
    from proglog.client import Acknowledged, Client, Producer
    from proglog.client.copies_asked import Acks
    from proglog.record.record import Record

READ_BYTES = 1024 * 1024
END_WAIT = 1.0
"""Seconds that an interrupted run waits for what is in flight."""
MAX_ACK_TIMEOUT = 600
MAX_ACKS = 1024
FORMATS = ("line", "null", "json")


class InputError(ProglogError):
    """A source cannot be read any further."""


def main(
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="[FILE ...|-]", help="Files to read; default: stdin")
    ] = None,
    format_: Annotated[
        str,
        typer.Option(
            "--format", metavar="line|null|json", help="What ends a record, or JSON lines as consume writes them"
        ),
    ] = "line",
    key_sep: Annotated[
        str, typer.Option("--key-sep", metavar="S", help="Split each line into key and value at the first S")
    ] = "",
    acks: Annotated[
        str,
        typer.Option(
            "--acks",
            metavar="N|all",
            help="Nodes on which a record must be durable before it is acknowledged; all: every living one",
        ),
    ] = "1",
    ack_timeout: Annotated[
        float,
        typer.Option(
            "--ack-timeout",
            metavar="SECONDS",
            help="How long to wait for --acks; after that the outcome is unknown, exit code 4",
        ),
    ] = 10.0,
    *,
    agent: options.AgentFlags,
) -> None:
    choice("--format", format_, FORMATS)
    nodes = _nodes(acks)
    if not 0 < ack_timeout <= MAX_ACK_TIMEOUT:
        raise ConfigError(f"--ack-timeout {ack_timeout:g}: expected more than 0 and at most {MAX_ACK_TIMEOUT} seconds")
    if key_sep and format_ == "json":
        raise ConfigError("--key-sep is for lines; with --format json the key is a field of the object")
    sources = files or [Path("-")]
    for path in sources:
        if str(path) != "-" and not path.exists():
            raise ConfigError(f"{path}: no such file")
        if path.is_dir():
            raise ConfigError(f"{path} is a directory: expected a file with one record per line")
    separator = b"\0" if format_ == "null" else b"\n"
    keep_freed_memory()
    agent.with_cluster(_Job(sources, separator, format_ == "json", os.fsencode(key_sep), nodes, ack_timeout).run)


def _nodes(acks: str) -> "Acks":
    """Return ``--acks`` as the client takes it."""
    if acks == "all":
        return "all"
    if not (acks.isascii() and acks.isdigit()) or not 1 <= int(acks) <= MAX_ACKS:
        raise ConfigError(f"--acks {acks}: expected a number of nodes, 1 to {MAX_ACKS}, or all")
    return int(acks)


class _Job:
    def __init__(
        self, sources: list[Path], separator: bytes, as_json: bool, key_sep: bytes, acks: "Acks", ack_timeout: float
    ) -> None:
        self._acks = acks
        self._ack_timeout = ack_timeout
        self._sources = sources
        self._separator = separator
        self._as_json = as_json
        self._key_sep = key_sep
        self._max_line_bytes = _max_line_bytes(as_json=as_json)
        self._path = sources[0]
        self._number = 0
        """Records of the source that were sent."""
        self._interactive = str(sources[0]) == "-" and sys.stdin.isatty()

    async def run(self, client: "Client") -> None:
        started = time.monotonic()
        producer = client.producer(
            acks=self._acks,
            ack_timeout=self._ack_timeout,
            stop_on_failure=True,
            on_ack=self._echo if self._interactive else None,
            on_retry=lambda cause: diagnostics.note(f"{cause}; retrying for {client.timeout:g} s"),
        )
        if self._interactive:
            diagnostics.note("One record per line; Ctrl-D ends.")
        try:
            async with terminable(), producer:
                try:
                    await self._send_all(producer)
                except (InvalidRequestError, InputError):
                    await producer.flush()  # what came before it is good
                    raise
                except asyncio.CancelledError:
                    with suppress(TimeoutError, ProglogError):  # the summary has the counts
                        async with asyncio.timeout(END_WAIT):
                            await producer.flush()
                    raise
        finally:
            self._summarize(producer, time.monotonic() - started)

    async def _send_all(self, producer: "Producer") -> None:
        regular = all(path.is_file() for path in self._sources)
        total = sum(path.stat().st_size for path in self._sources) if regular else None
        with diagnostics.progress("producing", total, unit="bytes") as meter:
            for path in self._sources:
                self._path, self._number = path, 0
                async for values, size in self._values():
                    await self._send(producer, values)
                    meter.advance(size)
            await producer.flush()

    async def _send(self, producer: "Producer", values: list[bytes]) -> None:
        if not self._as_json and not self._key_sep:
            try:
                await producer.send_values(values)
            except RecordTooLargeError:  # none was taken: those before it are good
                fitting, refusal = _before_too_large(values)
                await producer.send_values(values[:fitting])
                self._number += fitting
                raise self._refusal(str(refusal)) from refusal
            self._number += len(values)
            return
        for value in values:
            try:
                await producer.send(self._record(value))
            except InvalidRequestError as exc:
                raise self._refusal(str(exc)) from exc
            self._number += 1

    def _record(self, line: bytes) -> "Record":
        from proglog.client import jsonl
        from proglog.record.record import Record

        if self._as_json:
            return jsonl.decode(line)
        key, found, rest = line.partition(self._key_sep)
        return Record(value=rest, key=key) if found else Record(value=line)

    def _refusal(self, reason: str) -> InvalidRequestError:
        source = "" if str(self._path) == "-" else f"{self._path}, "
        unit = "record" if self._separator == b"\0" else "line"
        return InvalidRequestError(f"{source}{unit} {self._number + 1}: {reason}; nothing from there on was sent")

    async def _values(self) -> AsyncIterator[tuple[list[bytes], int]]:
        """Yield the records of a source, and how many bytes they took."""
        stdin = str(self._path) == "-"
        descriptor = sys.stdin.fileno() if stdin else os.open(self._path, os.O_RDONLY)
        parts: list[bytes] = []
        """Of the record that has not ended yet: joined once, however small a pipe cuts a large one."""
        size = 0
        try:
            while read := await self._read(descriptor):
                first, *following = read.split(self._separator)
                parts.append(first)
                size += len(first)
                if following:
                    values = [b"".join(parts), *following[:-1]]
                    parts, size = [following[-1]], len(following[-1])
                    yield values, len(read)
                else:
                    yield [], len(read)
                if size > self._max_line_bytes:
                    raise self._refusal(f"it has more than {self._max_line_bytes:,} bytes; no record may")
        finally:
            if not stdin:
                os.close(descriptor)
        if size:
            yield [b"".join(parts)], 0

    async def _read(self, descriptor: int) -> bytes:
        """Read what there is; while a pipe makes it wait, acknowledgements and signals continue."""
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        if not poll.poll(0):
            loop, some = asyncio.get_running_loop(), asyncio.Event()
            loop.add_reader(descriptor, some.set)
            try:
                await some.wait()
            finally:
                loop.remove_reader(descriptor)
        try:
            return os.read(descriptor, READ_BYTES)
        except OSError as exc:
            name = "standard input" if str(self._path) == "-" else str(self._path)
            raise InputError(f"{name} cannot be read: {exc.strerror}") from exc

    def _echo(self, acknowledged: "Acknowledged") -> None:
        for offset in range(acknowledged.base_offset, acknowledged.end_offset):
            diagnostics.note(f"offset {offset}")

    def _summarize(self, producer: "Producer", elapsed: float) -> None:
        from proglog.observe.words import bytes_words

        acknowledged = producer.acknowledged
        rate = f"{acknowledged / elapsed:,.0f} records/s" if elapsed > 0 else ""
        word = "record" if acknowledged == 1 else "records"
        unknown = f"; {producer.unknown:,} of unknown outcome" if producer.unknown else ""
        unsent = f"; {producer.unsent:,} not sent" if producer.unsent else ""
        size = f", {bytes_words(producer.acknowledged_bytes)}" if acknowledged else ""
        diagnostics.note(f"{acknowledged:,} {word}{size} in {elapsed:.1f} s ({rate}){unknown}{unsent}")


def _max_line_bytes(*, as_json: bool) -> int:
    """Return the bytes after which a line is refused before it fills the memory; JSON may take six for a character."""
    from proglog.record.batch import MAX_BATCH_BYTES

    return 6 * MAX_BATCH_BYTES + 1024 * 1024 if as_json else MAX_BATCH_BYTES


def _before_too_large(values: list[bytes]) -> tuple[int, RecordTooLargeError]:
    """Return how many values precede the first one that does not fit into a batch, and what the client says of it."""
    from proglog.client.sizes import checked

    for at, value in enumerate(values):
        try:
            checked([value])
        except RecordTooLargeError as exc:
            return at, exc
    raise AssertionError("one of them was refused")
