"""Append records: a line each, from files or stdin.

A record is acknowledged when it is durable on the agent, or with --acks on as many nodes. A connection that breaks is
tried again for --timeout seconds; nothing is appended twice by that. The summary on stderr says how many records are
acknowledged; when it stays broken, also how many are not sent, or of unknown outcome: those may or may not be in the
log, and sending them again may append them twice.
"""

import os
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from proglog.cli import diagnostics, options
from proglog.cli.serve_config import choice
from proglog.errors import ConfigError, InvalidRequestError
from proglog.wire.contract import ALL_ACKS

if TYPE_CHECKING:
    from proglog.client import Client
    from proglog.client.producer import Acknowledged, Producer

READ_BYTES = 1024 * 1024
MAX_LINE_BYTES = 8 * 1024 * 1024
"""A line longer than any batch is refused before it fills the memory."""
MAX_ACK_TIMEOUT = 600
FORMATS = ("line", "null", "json")


def main(
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="[FILE ...|-]", help="What to read; stdin if left out")
    ] = None,
    format_: Annotated[
        str,
        typer.Option(
            "--format", metavar="line|null|json", help="What ends a record, or JSON lines as consume writes them"
        ),
    ] = "line",
    key_sep: Annotated[
        str, typer.Option("--key-sep", metavar="S", help="The key stands before the first S of a line")
    ] = "",
    acks: Annotated[
        str,
        typer.Option(
            "--acks", metavar="N|all", help="Nodes on which a record is durable before it counts; all: those alive now"
        ),
    ] = "1",
    ack_timeout: Annotated[
        float,
        typer.Option(
            "--ack-timeout", metavar="SECONDS", help="How long --acks waits; then the outcome is unknown: exit code 4"
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
        raise ConfigError("--key-sep is for lines; with --format json the key stands in the object")
    sources = files or [Path("-")]
    for path in sources:
        if str(path) != "-" and not path.is_file():
            raise ConfigError(f"{path}: no such file")
    job = _Job(sources, b"\0" if format_ == "null" else b"\n", format_ == "json", key_sep.encode(), nodes, ack_timeout)
    agent.with_client(job.run)


def _nodes(acks: str) -> int:
    """Return ``--acks`` as the number that requests carry."""
    if acks == "all":
        return ALL_ACKS
    if not (acks.isascii() and acks.isdigit()) or not 0 <= int(acks) <= 1024:
        raise ConfigError(f"--acks {acks}: expected how many nodes, or all")
    return int(acks)


class _Job:
    def __init__(
        self, sources: list[Path], separator: bytes, as_json: bool, key_sep: bytes, acks: int, ack_timeout: float
    ) -> None:
        self._acks = acks
        self._ack_timeout = ack_timeout
        self._sources = sources
        self._separator = separator
        self._as_json = as_json
        self._key_sep = key_sep
        self._number = 0
        self._bytes = 0
        self._interactive = str(sources[0]) == "-" and sys.stdin.isatty()

    async def run(self, client: "Client") -> None:
        started = time.monotonic()
        producer = client.producer(
            acks=self._acks,
            ack_timeout=self._ack_timeout,
            on_ack=self._echo if self._interactive else None,
            on_retry=lambda cause: diagnostics.note(f"{cause}; trying again for {client.timeout:g} s"),
        )
        if self._interactive:
            diagnostics.note("A record a line; Ctrl-D ends.")
        total = (
            None if any(str(path) == "-" for path in self._sources) else sum(p.stat().st_size for p in self._sources)
        )
        try:
            async with producer:
                with diagnostics.progress("producing", total, unit="bytes") as meter:
                    for path in self._sources:
                        async for values, size in self._values(path):
                            await self._send(producer, values)
                            meter.advance(size)
                    await producer.flush()
        finally:
            self._summarize(producer.acknowledged, producer.unconfirmed, time.monotonic() - started)

    async def _send(self, producer: "Producer", values: list[bytes]) -> None:
        from proglog.record.record import Record

        if not self._as_json and not self._key_sep:
            await producer.send_values(values)
            self._number += len(values)
            return
        for value in values:
            self._number += 1
            if self._as_json:
                await producer.send(self._from_json(value))
                continue
            key, found, rest = value.partition(self._key_sep)
            await producer.send(Record(value=rest, key=key) if found else Record(value=value))

    def _from_json(self, line: bytes) -> "Record":  # type: ignore[name-defined]  # noqa: F821
        from proglog.client import jsonl

        try:
            return jsonl.decode(line)
        except InvalidRequestError as exc:
            raise InvalidRequestError(f"line {self._number}: {exc}") from exc

    async def _values(self, path: Path) -> AsyncIterator[tuple[list[bytes], int]]:
        """Yield the records of a source, and how many bytes they took."""
        import asyncio

        loop = asyncio.get_running_loop()
        descriptor = sys.stdin.fileno() if str(path) == "-" else os.open(path, os.O_RDONLY)
        regular = str(path) != "-"
        rest = b""
        try:
            while True:
                # A pipe may make us wait: then acknowledgements have to go on.
                read = (
                    os.read(descriptor, READ_BYTES)
                    if regular
                    else await loop.run_in_executor(None, os.read, descriptor, READ_BYTES)
                )
                if not read:
                    break
                values = (rest + read).split(self._separator)
                rest = values.pop()
                if len(rest) > MAX_LINE_BYTES:
                    raise InvalidRequestError(f"record {self._number + 1} has more than {MAX_LINE_BYTES:,} bytes")
                self._bytes += len(read)
                yield values, len(read)
        finally:
            if regular:
                os.close(descriptor)
        if rest:
            yield [rest], 0

    def _echo(self, acknowledged: "Acknowledged") -> None:
        for offset in range(acknowledged.base_offset, acknowledged.end_offset):
            diagnostics.note(f"offset {offset}")

    def _summarize(self, acknowledged: int, unconfirmed: int, elapsed: float) -> None:
        from proglog.observe.words import bytes_words

        rate = f"{acknowledged / elapsed:,.0f} records/s" if elapsed > 0 else ""
        word = "record" if acknowledged == 1 else "records"
        unknown = f"; {unconfirmed:,} of unknown outcome" if unconfirmed else ""
        size = f", {bytes_words(self._bytes)}" if acknowledged else ""
        diagnostics.note(f"{acknowledged:,} {word}{size} in {elapsed:.1f} s ({rate}){unknown}")
