"""Where ``produce`` gets its records: files and stdin, split at a separator, or each file as one record."""

import asyncio
import os
import select
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from proglog.errors import ConfigError, InvalidRequestError, ProglogError

READ_BYTES = 1024 * 1024
STDIN = Path("-")


class InputError(ProglogError):
    """A source cannot be read any further."""


def check(path: Path) -> None:
    """Refuse what cannot be read, before anything is connected to.

    Raises:
        ConfigError: It does not exist, or is a directory.
    """
    if path == STDIN:
        return
    if not path.exists():
        raise ConfigError(f"{path}: no such file")
    if path.is_dir():
        raise ConfigError(f"{path} is a directory: expected a file with one record per line")


def total_bytes(paths: list[Path], times: int) -> int | None:
    """Return how much there is to read; ``None``: nobody knows."""
    if not all(path.is_file() for path in paths):
        return None
    return times * sum(path.stat().st_size for path in paths)


async def pieces(
    path: Path, separator: bytes | None, most: int, prompt: Callable[[], None] | None = None
) -> AsyncIterator[tuple[list[bytes], int]]:
    """Yield the records of a source as they come, and how many bytes were read for them.

    Args:
        path: A file, or STDIN.
        separator: What ends a record; ``None``: the end of the file.
        most: Bytes that no record may exceed.
        prompt: Called before each wait for a person's next line.

    Raises:
        InputError: It cannot be read.
        InvalidRequestError: A record is too long; the message says by what.
    """
    descriptor = sys.stdin.fileno() if path == STDIN else os.open(path, os.O_RDONLY)
    parts: list[bytes] = []
    """Of the record that has not ended yet: joined once, however small a pipe cuts a large one."""
    size = 0
    try:
        while read := await _read(path, descriptor, prompt):
            first, *following = [read] if separator is None else read.split(separator)
            parts.append(first)
            size += len(first)
            if following:
                values = [b"".join(parts), *following[:-1]]
                parts, size = [following[-1]], len(following[-1])
                yield values, len(read)
            else:
                yield [], len(read)
            if size > most:
                raise InvalidRequestError(f"it has more than {most:,} bytes; no record may")
    finally:
        if path != STDIN:
            os.close(descriptor)
    if size or separator is None:
        yield [b"".join(parts)], 0


async def _read(path: Path, descriptor: int, prompt: Callable[[], None] | None) -> bytes:
    """Read what there is; while a pipe makes it wait, acknowledgements and signals continue."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    if not poll.poll(0):
        if prompt is not None:
            prompt()
        loop, some = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(descriptor, some.set)
        try:
            await some.wait()
        finally:
            loop.remove_reader(descriptor)
    try:
        return os.read(descriptor, READ_BYTES)
    except OSError as exc:
        name = "standard input" if path == STDIN else str(path)
        raise InputError(f"{name} cannot be read: {exc.strerror}") from exc
