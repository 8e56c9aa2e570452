"""Write testdata/vectors.json: bytes of every kind and what they mean, for readers and clients in other languages.

`make docs` runs it; a test holds the file and the code together.
"""

import json
from pathlib import Path
from typing import Any

from proglog.client.cursor import Cursor
from proglog.log.index import SegmentIndex
from proglog.record import batch, columns, control
from proglog.record.batch import BatchHeader, parse_header, verify
from proglog.record.crc import crc
from proglog.record.place import Places
from proglog.record.record import Record
from proglog.types import LogId, NodeName, Offset, OriginId, SequenceNumber

TARGET = Path(__file__).resolve().parents[1] / "testdata" / "vectors.json"
LOG_ID = LogId(bytes(range(16)))
ORIGIN = OriginId(bytes(range(0x60, 0x70)))
OTHER = OriginId(b"\xff" * 16)
SEGMENT = Offset(40)
RECORDS = (
    Record(value=b"hello"),
    Record(value=b"", key=b""),
    Record(value=b"\xff\x00", key="ü".encode(), headers=(("trace", b"\x01"), ("é", b""))),
)
TIMES = (1_700_000_000_000, 1_700_000_000_250, 1_699_999_999_990)


def vectors() -> dict[str, Any]:
    """Return the content of the file."""
    unstamped = {
        "values": batch.encode(columns.from_values([b"hello"]), count=1, first_timestamp_ms=5, max_timestamp_ms=5),
        "columns": batch.encode(
            columns.from_records(RECORDS, TIMES),
            count=3,
            first_timestamp_ms=TIMES[0],
            max_timestamp_ms=TIMES[1],
            producer_id=bytes(range(0x10, 0x20)),
            producer_epoch=3,
            producer_sequence=7,
        ),
        "origin start": control.origin_start(NodeName("a"), now_ms=5, reason="new data directory"),
        "gap": control.gap(5, now_ms=6, reason="no node has it"),
        "position commit": control.position_commit("nightly", 2, {ORIGIN: SequenceNumber(9)}, now_ms=7),
    }
    stored, index = _stored(unstamped)
    return {
        "about": "Bytes in hex; docs/concepts/formats.md and docs/concepts/wire.md say what they are.",
        "crc32c": [{"data": data.hex(), "crc": crc(data)} for data in (b"", b"123456789", bytes(32))],
        "unstamped": [{"name": name, "bytes": data.hex(), **_meaning(data)} for name, data in unstamped.items()],
        "stored": {"log": LOG_ID.hex(), "segment": SEGMENT, "batches": stored},
        "index": index.hex(),
        "cursors": [
            {
                "token": Cursor(positions).token(),
                "positions": [[origin.hex(), at] for origin, at in sorted(positions.items())],
            }
            for positions in (
                {},
                {ORIGIN: SequenceNumber(1)},
                {ORIGIN: SequenceNumber(300), OTHER: SequenceNumber((1 << 63) - 1)},
            )
        ],
        "bad_cursors": _bad_cursors(),
        "small_file": _small_file({"log": LOG_ID.hex(), "bound": True, "version": 1}),
    }


def _stored(unstamped: dict[str, bytes]) -> tuple[list[dict[str, Any]], bytes]:
    """Return the batches as one segment holds them, in order, and the segment's index."""
    chain, sequence, offset, position = batch.chain_start(ORIGIN), SequenceNumber(1), SEGMENT, 0
    places, found, index = Places(LOG_ID, SEGMENT), [], SegmentIndex(SEGMENT, 4096)
    for name in ("origin start", "values", "columns", "gap", "position commit"):
        made = verify(unstamped[name])
        if made.header.is_gap:
            chain = 0x01020304  # of the history behind it: nobody can work it out
            header = batch.stamp_gap(made, origin=ORIGIN, base_sequence=sequence, chain_crc=chain, append_time_ms=9)
            header = batch.stamp_import(
                verify(header + bytes(made.payload)), base_offset=offset, append_time_ms=9, mark=places.mark(position)
            )
        else:
            header = batch.stamp_local(
                made,
                origin=ORIGIN,
                base_sequence=sequence,
                previous_chain=chain,
                base_offset=offset,
                append_time_ms=9,
                mark=places.mark(position),
            )
        data = header + bytes(made.payload)
        stamped = verify(data)
        found.append({"name": name, "position": position, "bytes": data.hex(), **_meaning(data)})
        index.add(stamped.header, position, "a" if name == "origin start" else "")
        chain, sequence = stamped.header.chain_crc, stamped.header.next_sequence
        offset, position = stamped.header.end_offset, position + len(data)
    return found, index.encode(crc(LOG_ID))


def _meaning(data: bytes) -> dict[str, Any]:
    header = parse_header(data)
    payload = data[batch.HEADER_BYTES :]
    meaning: dict[str, Any] = {"header": _header(header)}
    if header.is_control:
        said = control.parse(payload)
        assert said is not None  # one of this version's
        return meaning | {"control": said.DESCRIPTOR.name}
    return meaning | {
        "records": [
            {
                "value": value.hex(),
                "key": None if key is None else key.hex(),
                "timestamp_ms": timestamp_ms,
                "headers": [[name, content.hex()] for name, content in headers],
            }
            for value, key, timestamp_ms, headers in columns.rows(
                payload, header.record_count, header.first_timestamp_ms
            )
        ]
    }


def _header(header: BatchHeader) -> dict[str, Any]:
    return {name: value.hex() if isinstance(value, bytes) else value for name, value in header._asdict().items()}


def _bad_cursors() -> list[dict[str, str]]:
    good = Cursor({ORIGIN: SequenceNumber(300)}).token()
    return [
        {"token": "", "why": "nothing"},
        {"token": good[:-1] + ("A" if good[-1] != "A" else "B"), "why": "checksum"},
        {"token": good[:12], "why": "cut short"},
        {"token": good.replace(good[3], "!", 1), "why": "characters"},
    ]


def _small_file(content: dict[str, Any]) -> dict[str, Any]:
    line = json.dumps(content, sort_keys=True).encode() + b"\n"
    return {"text": (line + b"crc32c %08x\n" % crc(line)).decode(), "content": content}


def text() -> str:
    """Return the file."""
    return json.dumps(vectors(), indent=1) + "\n"


if __name__ == "__main__":
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(text())
