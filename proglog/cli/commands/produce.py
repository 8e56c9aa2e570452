"""Append records, one per line, from files or stdin.

A record is acknowledged once it is durable on the agent, or with --acks on that many nodes. A broken connection is
retried for --timeout without appending anything twice. Of several addresses, the next one takes over when an agent goes
away; not while records sent to it have no answer, which only it can give. The summary on stderr counts the acknowledged
records; if the connection stays broken, also those not sent and those of unknown outcome: these may or may not be in the
log, and sending them again may append them twice.

With --checkpoint FILE, a run that was interrupted, or killed, resumes with the same inputs where it stopped: every record
is appended once.

    proglog produce access.log --key-sep ' ' --header source=web
    proglog produce access.log --checkpoint access.checkpoint
    seq 3 | proglog produce --rate 100 -o json
"""

import asyncio
import base64
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer

from proglog.cli import diagnostics, options, output, sources
from proglog.cli.checkpoint import SAVE_SECONDS, Checkpoint, found_in_log
from proglog.cli.exit_codes import ExitCode
from proglog.cli.heap import keep_freed_memory
from proglog.cli.interruption import terminable
from proglog.cli.output import Format
from proglog.cli.serve_config import choice
from proglog.cli.shapes import Shape
from proglog.errors import ConfigError, InvalidRequestError, ProglogError, RecordTooLargeError
from proglog.quantities import count, duration
from proglog.types import counted

if TYPE_CHECKING:
    from proglog.client import Acknowledged, Client, Producer
    from proglog.client.copies_asked import Acks
    from proglog.record.record import Record

END_WAIT = 1.0
"""Seconds that an interrupted run waits for what is in flight."""
MAX_ACK_TIMEOUT = 600
MAX_ACKS = 1024
FORMATS = {"line": b"\n", "null": b"\0", "jsonl": b"\n", "file": None}
"""What ends a record of each; ``file``: the end of the file."""
_PACE_SECONDS = 0.02
"""Of a rate: so often some records are sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProducedShape:
    """What became of the records of a run."""

    acknowledged: int
    """Durable on as many nodes as asked for."""
    unknown: int
    """Sent and not answered: they may or may not be in the log."""
    unsent: int
    """Not in the log."""
    rejected: int
    """Lines that were skipped, with --on-error skip."""
    resumed: int
    """Records that earlier runs of the checkpoint had appended."""
    value_bytes: int
    """Of the acknowledged records."""
    elapsed_ms: int
    records_per_s: float


PRODUCED = Shape("produce", ProducedShape, many=False)
SHAPES = (PRODUCED,)


def main(
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="[FILE ...|-]", help="Files to read; default: stdin")
    ] = None,
    format_: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="line|null|jsonl|file",
            help="What ends a record; or JSON lines as consume -o jsonl writes them; or a record per whole file",
        ),
    ] = "line",
    key: Annotated[str | None, typer.Option("--key", metavar="K", help="Key of every record")] = None,
    key_sep: Annotated[
        str, typer.Option("--key-sep", metavar="S", help="Split each line into key and value at the first S")
    ] = "",
    header: Annotated[
        list[str] | None, typer.Option("--header", metavar="NAME=VALUE", help="Header of every record; repeatable")
    ] = None,
    acks: Annotated[
        str,
        typer.Option(
            "--acks",
            metavar="N|all",
            help="Nodes on which a record must be durable before it is acknowledged; all: every living one",
        ),
    ] = "1",
    ack_timeout: Annotated[
        str,
        typer.Option(
            "--ack-timeout",
            metavar="D",
            help="How long to wait for --acks; after that the outcome is unknown, exit code 4",
        ),
    ] = "10s",
    rate: Annotated[str, typer.Option("--rate", metavar="N", help="At most so many records a second: 500, 20k")] = "",
    repeat: Annotated[int, typer.Option("--repeat", metavar="N", help="Send the files so many times")] = 1,
    checkpoint: Annotated[
        Path | None, typer.Option("--checkpoint", metavar="FILE", help="Resume an interrupted run; each record once")
    ] = None,
    on_error: Annotated[
        str, typer.Option("--on-error", metavar="stop|skip", help="What to do at a line that is no record")
    ] = "stop",
    rejects: Annotated[
        Path | None,
        typer.Option("--rejects", metavar="FILE", help="With --on-error skip: where skipped lines go, as JSON lines"),
    ] = None,
    output_: options.Output = Format.TABLE,
    *,
    agent: options.AgentFlags,
) -> None:
    choice("--format", format_, FORMATS)
    choice("--on-error", on_error, ("stop", "skip"))
    seconds = duration("--ack-timeout", ack_timeout, bare="s")
    if not 0 < seconds <= MAX_ACK_TIMEOUT:
        raise ConfigError(f"--ack-timeout {ack_timeout}: expected more than 0 and at most {MAX_ACK_TIMEOUT} seconds")
    if (key_sep or key is not None) and format_ == "jsonl":
        raise ConfigError("--key and --key-sep are for lines; with --format jsonl the key is a field of the object")
    if key_sep and (key is not None or format_ == "file"):
        raise ConfigError("--key-sep splits lines: it goes neither with --key nor with --format file")
    if rejects is not None and on_error != "skip":
        raise ConfigError("--rejects needs --on-error skip: otherwise the first bad line ends the run")
    inputs = files or [sources.STDIN]
    for path in inputs:
        sources.check(path)
    if repeat < 1 or (repeat > 1 and sources.STDIN in inputs):
        raise ConfigError(f"--repeat {repeat}: expected 1 or more, and files: stdin can be read once")
    job = _Job(
        inputs=inputs * repeat,
        separator=FORMATS[format_],
        as_json=format_ == "jsonl",
        key=None if key is None else os.fsencode(key),
        key_sep=os.fsencode(key_sep),
        headers=tuple(_header(text) for text in header or ()),
        acks=_nodes(acks),
        ack_timeout=seconds,
        per_second=count("--rate", rate) if rate else 0,
        checkpoint=checkpoint,
        source=" ".join("-" if path == sources.STDIN else str(path.absolute()) for path in inputs * repeat),
        skip=on_error == "skip",
        rejects=rejects,
    )
    try:
        keep_freed_memory()
        agent.with_cluster(job.run)
    finally:
        if job.produced is not None:
            output.done(job.produced, PRODUCED, output_, job.summary())
    if job.rejected:
        diagnostics.note(f"{job.rejected:,} lines were rejected" + (f": see {rejects}" if rejects else ""))
        raise typer.Exit(ExitCode.REFUSED)


def _header(text: str) -> tuple[str, bytes]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ConfigError(f"--header {text!r:.80}: expected NAME=VALUE")
    return name, os.fsencode(value)


def _nodes(acks: str) -> "Acks":
    """Return ``--acks`` as the client takes it."""
    if acks == "all":
        return "all"
    if not (acks.isascii() and acks.isdigit()) or not 1 <= int(acks) <= MAX_ACKS:
        raise ConfigError(f"--acks {acks}: expected a number of nodes, 1 to {MAX_ACKS}, or all")
    return int(acks)


@dataclass(slots=True, kw_only=True)
class _Job:
    inputs: list[Path]
    separator: bytes | None
    as_json: bool
    key: bytes | None
    key_sep: bytes
    headers: tuple[tuple[str, bytes], ...]
    acks: "Acks"
    ack_timeout: float
    per_second: int
    """0: as fast as it goes."""
    checkpoint: Path | None
    source: str
    skip: bool
    """Whether lines that are no records are skipped."""
    rejects: Path | None
    rejected: int = 0
    produced: ProducedShape | None = None
    _path: Path = sources.STDIN
    _number: int = 0
    """Lines of the source that were dealt with."""
    _left_out: int = 0
    """Records at the beginning that earlier runs have appended."""
    _resumed: int = 0
    _sent: int = 0
    _began: float = 0.0
    _saved: float = 0.0
    _rejects: IO[str] | None = None
    _run: Checkpoint = field(default_factory=lambda: Checkpoint(source="", before=0))

    @property
    def _plain(self) -> bool:
        """Whether records are nothing but values: the fast path."""
        return not (self.as_json or self.key_sep or self.headers) and self.key is None

    @property
    def _interactive(self) -> bool:
        """Whether a person types the records."""
        return self.inputs[0] == sources.STDIN and sys.stdin.isatty() and diagnostics.is_terminal()

    async def run(self, client: "Client") -> None:
        started = time.monotonic()
        producer = client.producer(
            acks=self.acks,
            ack_timeout=self.ack_timeout,
            stop_on_failure=True,
            on_ack=self._acknowledged if self._interactive or self.checkpoint else None,
            on_retry=lambda cause: diagnostics.note(f"{cause}; retrying for {client.timeout:g} s"),
        )
        if self.checkpoint is not None:
            await self._resume(client, producer)
        if self._interactive:
            diagnostics.note("One record per line; Ctrl-D ends.")
        if self.rejects is not None:
            self._rejects = _opened(self.rejects)
        try:
            async with terminable(), producer:
                try:
                    await self._send_all(producer)
                except (InvalidRequestError, sources.InputError, OSError):
                    await producer.flush()  # what came before it is good
                    raise
                except asyncio.CancelledError:
                    with suppress(TimeoutError, ProglogError):  # the summary has the counts
                        async with asyncio.timeout(END_WAIT):
                            await producer.flush()
                    raise
        finally:
            self._count(producer, time.monotonic() - started)  # first: whatever becomes of the files, this was sent
            with self._naming_rejects(), ExitStack() as closing:
                if self.checkpoint is not None:
                    self._run.acknowledged = producer.acknowledged
                    closing.callback(self._run.save, self.checkpoint)
                if self._rejects is not None:
                    self._rejects.close()

    async def _resume(self, client: "Client", producer: "Producer") -> None:
        """Find out what earlier runs have appended, and write down who this one is before it sends anything."""
        from proglog.client.offset_spec import OffsetSpec

        assert self.checkpoint is not None, "there is one"
        self._run = Checkpoint.load(self.checkpoint, self.source)
        self._left_out = self._resumed = await self._run.resume(client, found_in_log)
        if self._resumed:
            diagnostics.note(f"resuming after {counted(self._resumed, 'record')}")
        async with client.consume(OffsetSpec.before_end(0), first_contact=0) as consumer:
            await consumer.resolved()
            self._run.cursor = consumer.cursor.token() if consumer.cursor else ""
        self._run.producer = producer.identity.hex()
        self._run.save(self.checkpoint)

    async def _send_all(self, producer: "Producer") -> None:
        total = sources.total_bytes(self.inputs, 1)
        self._began = time.monotonic()
        with diagnostics.progress("producing", total, unit="bytes", shown=not self._interactive) as meter:
            for path in self.inputs:
                self._path, self._number = path, 0
                async for values, size in self._pieces():
                    for some in self._paced(values):
                        await self._send(producer, some)
                        await self._keep_pace()
                    if self._interactive and values:
                        await producer.flush()  # the offset comes before the next prompt
                    meter.advance(size)
            await producer.flush()
        if self._interactive:
            diagnostics.say("")  # the summary begins a line

    async def _pieces(self) -> AsyncIterator[tuple[list[bytes], int]]:
        prompt = (lambda: diagnostics.say("> ", end="")) if self._interactive else None
        most = _max_line_bytes(as_json=self.as_json)
        try:
            async for values, size in sources.pieces(self._path, self.separator, most, prompt):
                yield values, size
        except InvalidRequestError as exc:
            raise self._refusal(str(exc)) from exc

    def _paced(self, values: list[bytes]) -> Iterator[list[bytes]]:
        """Yield values in portions that a rate allows."""
        if not self.per_second:
            yield values
            return
        size = max(1, round(self.per_second * _PACE_SECONDS))
        for start in range(0, len(values), size):
            yield values[start : start + size]

    async def _keep_pace(self) -> None:
        if self.per_second:
            await asyncio.sleep(max(0.0, self._began + self._sent / self.per_second - time.monotonic()))

    async def _send(self, producer: "Producer", values: list[bytes]) -> None:
        if self._plain:
            await self._send_values(producer, values)
            return
        for value in values:
            try:
                record = self._record(value)
                if self._left_out:
                    self._left_out -= 1
                else:
                    await producer.send(record)
                    self._sent += 1
            except InvalidRequestError as exc:
                self._reject(value, str(exc), exc)
            self._number += 1

    async def _send_values(self, producer: "Producer", values: list[bytes]) -> None:
        values = self._after_resumed(values)
        while values:
            try:
                await producer.send_values(values)
            except RecordTooLargeError:  # none was taken: those before it are good
                found = _before_too_large(values)
                assert found is not None, "one of them was refused"
                fitting, refusal = found
                await producer.send_values(values[:fitting])
                self._number += fitting
                self._sent += fitting
                self._reject(values[fitting], str(refusal), refusal)
                self._number += 1
                values = values[fitting + 1 :]
            else:
                self._number += len(values)
                self._sent += len(values)
                return

    def _after_resumed(self, values: list[bytes]) -> list[bytes]:
        """Return the values behind those that earlier runs appended, which skipped what was too large."""
        at = 0
        while self._left_out and at < len(values):
            self._left_out -= not (self.skip and _is_too_large(values[at]))
            at += 1
        self._number += at
        return values[at:]

    def _record(self, line: bytes) -> "Record":
        from proglog.client import jsonl
        from proglog.record.record import Record

        if self.as_json:
            record = jsonl.decode(line)
            if not self.headers:
                return record
            return Record(
                value=record.value,
                key=record.key,
                timestamp_ms=record.timestamp_ms,
                headers=(*record.headers, *self.headers),
            )
        if not self.key_sep:
            return Record(value=line, key=self.key, headers=self.headers)
        key, found, rest = line.partition(self.key_sep)
        return Record(value=rest, key=key, headers=self.headers) if found else Record(value=line, headers=self.headers)

    def _reject(self, line: bytes, reason: str, cause: Exception | None) -> None:
        """Skip a line, or end the run."""
        if not self.skip:
            raise self._refusal(reason) from cause
        self.rejected += 1
        if self._rejects is None:
            diagnostics.note(f"{self._place()}: {reason}; skipped")
            return
        try:
            text: str | dict[str, str] = line.decode()
        except UnicodeDecodeError:
            text = {"base64": base64.b64encode(line).decode("ascii")}
        where = {"source": str(self._path), "number": self._number + 1, "reason": reason, "line": text}
        with self._naming_rejects():
            self._rejects.write(json.dumps(where) + "\n")

    @contextmanager
    def _naming_rejects(self) -> Iterator[None]:
        """Have an error of the disk under --rejects name that file."""
        try:
            yield
        except OSError as exc:
            raise OSError(exc.errno, exc.strerror, str(self.rejects)) from exc

    def _refusal(self, reason: str) -> InvalidRequestError:
        return InvalidRequestError(f"{self._place()}: {reason}; nothing from there on was sent")

    def _place(self) -> str:
        source = "" if self._path == sources.STDIN else f"{self._path}, "
        unit = "record" if self.separator == b"\0" else "line"
        return f"{self._path}" if self.separator is None else f"{source}{unit} {self._number + 1}"

    def _acknowledged(self, acknowledged: "Acknowledged") -> None:
        if self._interactive:
            for offset in range(acknowledged.base_offset, acknowledged.end_offset):
                diagnostics.note(f"offset {offset}")
        if self.checkpoint is not None:
            self._run.acknowledged += acknowledged.end_offset - acknowledged.base_offset
            if time.monotonic() - self._saved > SAVE_SECONDS:
                self._saved = time.monotonic()
                self._run.save(self.checkpoint)

    def _count(self, producer: "Producer", elapsed: float) -> None:
        self.produced = ProducedShape(
            acknowledged=producer.acknowledged,
            unknown=producer.unknown,
            unsent=producer.unsent,
            rejected=self.rejected,
            resumed=self._resumed,
            value_bytes=producer.acknowledged_bytes,
            elapsed_ms=round(elapsed * 1000),
            records_per_s=round(producer.acknowledged / elapsed, 1) if elapsed > 0 else 0.0,
        )

    def summary(self) -> str:
        """Return the outcome in words."""
        from proglog.observe.words import bytes_words

        made = self.produced
        assert made is not None, "it has run"
        unknown = f"; {made.unknown:,} of unknown outcome" if made.unknown else ""
        unsent = f"; {made.unsent:,} not sent" if made.unsent else ""
        size = f", {bytes_words(made.value_bytes)}" if made.acknowledged else ""
        seconds = made.elapsed_ms / 1000
        return f"{counted(made.acknowledged, 'record')}{size} in {seconds:.1f} s ({made.records_per_s:,.{0 if made.records_per_s >= 10 else 1}f} records/s){unknown}{unsent}"


def _opened(path: Path) -> IO[str]:
    try:
        return path.open("w", encoding="utf-8", buffering=1)  # a line is on its way when it is rejected
    except OSError as exc:
        raise ConfigError(f"--rejects {path}: {exc.strerror}") from exc


def _max_line_bytes(*, as_json: bool) -> int:
    """Return the bytes after which a line is refused before it fills the memory; JSON may take six for a character."""
    from proglog.record.batch import MAX_BATCH_BYTES

    return 6 * MAX_BATCH_BYTES + 1024 * 1024 if as_json else MAX_BATCH_BYTES


def _is_too_large(value: bytes) -> bool:
    return _before_too_large([value]) is not None


def _before_too_large(values: list[bytes]) -> tuple[int, RecordTooLargeError] | None:
    """Return how many values precede the first one that does not fit into a batch, and what the client says of it."""
    from proglog.client.sizes import check_fits

    for at, value in enumerate(values):
        try:
            check_fits(value)
        except RecordTooLargeError as exc:
            return at, exc
    return None
