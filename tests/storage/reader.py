"""A reader of a data directory, written from docs/concepts/formats.md alone: it shares no code with the log."""

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

SEED = 0x50524F47


def _table() -> list[int]:
    table = []
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


TABLE = _table()


def crc32c(data: bytes, start: int = SEED) -> int:
    value = start ^ 0xFFFFFFFF
    for byte in data:
        value = TABLE[(value ^ byte) & 0xFF] ^ (value >> 8)
    return value ^ 0xFFFFFFFF


@dataclass
class Batch:
    segment: int
    position: int
    base_offset: int
    batch_bytes: int
    group_at: int
    version: int
    flags: int
    origin: bytes
    base_sequence: int
    sequence_span: int
    record_count: int
    chain_crc: int
    header: bytes
    payload: bytes


def number(data: bytes, at: int, size: int) -> int:
    return int.from_bytes(data[at : at + size], "little")


def mark(log_id: bytes, base_offset: int, position: int) -> bytes:
    return blake2b(struct.pack("<QQ", base_offset, position), key=log_id, digest_size=4).digest()


def small_file(data: bytes) -> dict[str, object]:
    line, check, rest = data.split(b"\n")
    assert rest == b""
    assert check == b"crc32c %08x" % crc32c(line + b"\n")
    content = json.loads(line)
    assert isinstance(content, dict)
    return content


def log_id_of(directory: Path) -> bytes:
    return bytes.fromhex(str(small_file((directory / "identity").read_bytes())["log"]))


def batches(directory: Path) -> Iterator[Batch]:
    """Yield every batch of every segment, after checking its mark, its checksums and its place."""
    log_id = log_id_of(directory)
    for path in sorted(directory.glob("*.log")):
        base, data, at = int(path.stem), path.read_bytes(), 0
        offset = base
        while at < len(data):
            header = data[at : at + 128]
            size = number(header, 24, 4)
            payload = data[at + 128 : at + size]
            assert header[:4] == mark(log_id, base, at)
            assert number(header, 4, 4) == crc32c(header[8:])
            assert number(header, 32, 4) == crc32c(header[36:], crc32c(payload))
            assert number(header, 8, 8) == offset
            assert header[37] == 0
            batch = Batch(
                segment=base,
                position=at,
                base_offset=offset,
                batch_bytes=size,
                group_at=number(header, 28, 4),
                version=header[36],
                flags=number(header, 38, 2),
                origin=header[40:56],
                base_sequence=number(header, 56, 8),
                sequence_span=number(header, 64, 8),
                record_count=number(header, 72, 4),
                chain_crc=number(header, 76, 4),
                header=header,
                payload=payload,
            )
            yield batch
            offset += batch.record_count
            at += size


def chain_after(batch: Batch, before: int) -> int:
    payload_crc = struct.pack("<I", crc32c(batch.payload))
    if batch.version == 1:
        return crc32c(struct.pack("<QQ", batch.base_sequence, batch.sequence_span) + payload_crc, before)
    return crc32c(batch.header[36:76] + bytes(4) + batch.header[80:128] + payload_crc, before)


def values(payload: bytes) -> list[bytes]:
    """Return the value column of a ``RecordColumns`` message: field 1, repeated bytes."""
    found, at = [], 0
    while at < len(payload):
        key, at = _varint(payload, at)
        assert key & 7 == 2  # every column is length-delimited
        size, at = _varint(payload, at)
        if key >> 3 == 1:
            found.append(payload[at : at + size])
        at += size
    return found


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
