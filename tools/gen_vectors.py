"""Write testdata/vectors.json: bytes of every kind and what they mean, for readers and clients in other languages.

`make docs` runs it; a test holds the file and the code together.
"""

import json
from itertools import count
from pathlib import Path
from typing import Any

from proglog.client.cursor import Cursor
from proglog.log import checkpoint
from proglog.log.config import LogConfig
from proglog.log.index import SegmentIndex
from proglog.log.log import Log
from proglog.log.losses import Loss
from proglog.log.model import LocalAppend
from proglog.record import batch, columns, control
from proglog.record.batch import BatchHeader, parse_header, verify
from proglog.record.crc import crc
from proglog.record.place import Places
from proglog.record.record import Record
from proglog.testing.files import FaultyFiles
from proglog.types import FilePosition, LogId, NodeName, Offset, OriginId, SequenceNumber

TARGET = Path(__file__).resolve().parents[1] / "testdata" / "vectors.json"
LOG_ID = LogId(bytes(range(16)))
ORIGIN = OriginId(bytes(range(0x60, 0x70)))
OTHER = OriginId(b"\xff" * 16)
SEGMENT = Offset(40)
INTERVAL = 300
"""Bytes between two entries of the index: few, for a store of few batches."""
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
        "index": {"bytes": index.hex(), **_index(index)},
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
        "small_files": [{"name": name, "text": text} for name, text in _small_files().items()],
        "bad_small_files": _bad_small_files(),
    }


def _stored(unstamped: dict[str, bytes]) -> tuple[list[dict[str, Any]], bytes]:
    """Return the batches as one segment holds them, in order, and the segment's index."""
    chain, sequence, offset, position = batch.chain_start(ORIGIN), SequenceNumber(1), SEGMENT, 0
    places, found, index = Places(LOG_ID, SEGMENT), [], SegmentIndex(SEGMENT, INTERVAL)
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


def _index(data: bytes) -> dict[str, Any]:
    """Return what an index says: its summary and, by entry, offset, position, latest time, sequence, number of the origin."""
    index = SegmentIndex.decode(data, SEGMENT, INTERVAL, None, crc(LOG_ID))
    entries = index.attach(data[index.entries_at :])
    return {
        **index.summary._asdict(),
        "origins": [origin.hex() for origin in index.origins],
        "entries": [
            list(entry)
            for entry in zip(
                entries.offsets, entries.positions, entries.timestamps, entries.sequences, entries.origin_numbers,
                strict=True,
            )
        ],
    }  # fmt: skip


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


def _small_files() -> dict[str, str]:
    """Return the small files of a log that retention and a loss have shortened, as the code writes them."""
    files, directory, ids = FaultyFiles(), Path("/data"), count(0x60)
    config = LogConfig(segment_bytes=4096, retention_bytes=4096, ballast_bytes=0)
    log = Log.open(
        directory, config, node_name=NodeName("a"), files=files, now_ms=lambda: TIMES[0], monotonic=lambda: 0.0,
        new_origin=lambda: bytes([next(ids)] * 16), new_log_id=lambda: LOG_ID,
    )  # fmt: skip
    payload = columns.from_values([bytes(1000)])
    for sequence in range(12):
        made = batch.encode(
            payload, count=1, first_timestamp_ms=TIMES[0], max_timestamp_ms=TIMES[0],
            producer_id=ORIGIN, producer_epoch=1, producer_sequence=sequence,
        )  # fmt: skip
        log.append([LocalAppend(verify(made))])
    log.append([LocalAppend(verify(control.position_commit("nightly", 2, {ORIGIN: SequenceNumber(9)}, now_ms=7)))])
    log.retain()
    log.close()
    loss = Loss(Offset(11), FilePosition(0), FilePosition(134), Offset(11), Offset(12), "a checksum does not agree")
    checkpoint.save_losses(files, directory, LOG_ID, [loss], 1)
    checkpoint.save(
        files, directory / "members", {"addresses": [{"addr": "10.0.0.2:8401", "name": "b", "unseen_seconds": 3}]}
    )
    checkpoint.save(files, directory / "conditions", {"conditions": []})
    found = {name: files.content(directory / name) for name in files.names(directory)}
    return {name: data.decode() for name, data in sorted(found.items()) if data.startswith(b"{")}


def _bad_small_files() -> list[dict[str, str]]:
    good = _small_files()["durable"]
    later = good.partition("\n")[0].replace('"version": 1', '"version": 2') + "\n"
    return [
        {"text": "", "why": "nothing"},
        {"text": good[: len(good) // 2], "why": "cut short"},
        {"text": good.partition("crc32c")[0], "why": "no checksum"},
        {"text": good.replace("true", "null", 1), "why": "checksum"},
        {"text": later + f"crc32c {crc(later.encode()):08x}\n", "why": "a later version"},
    ]


def text() -> str:
    """Return the file."""
    return json.dumps(vectors(), indent=1) + "\n"


if __name__ == "__main__":
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(text())
