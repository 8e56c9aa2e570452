"""What verbs print for people, at 80 and at 140 columns: recorded, so that a change is seen.

``PROGLOG_UPDATE_GOLDENS=1`` records anew.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from proglog import clock
from proglog.cli import measure, output, tables, zone
from proglog.cli.check_report import CheckFormat, CheckReport, lines
from proglog.cli.commands import (
    acl,
    bench,
    certs,
    completion,
    copies,
    events,
    keys,
    losses,
    positions,
    profile,
    spec,
    tags,
    verify,
)
from proglog.cli.commands import segments as segments_verb
from proglog.cli.front import GREETING, filled, help_text
from proglog.cli.reading import TABLE as GROUPS
from proglog.cli.reading import _Group
from proglog.cli.render import _row, heading
from proglog.cli.topics import TOPICS
from proglog.cli.verbs import VERBS
from proglog.client.cursor import Cursor
from proglog.client.membership_client import UserEventSeen
from proglog.client.positions import NamedPosition
from proglog.log.verify import VerifyFinding
from proglog.observe.copies_view import rows
from proglog.observe.health import Limits, findings
from proglog.record.record import StoredRecord
from proglog.types import OriginId, SequenceNumber
from proglog.wire.model import AcceptedLoss, DamagedRange
from tests.tui.conftest import World

GOLDENS = Path(__file__).with_name("goldens")
NOW = 1_790_000_000_000
ORIGIN = OriginId(bytes(range(16)))
HOSTILE = "x\x1b[31m\u202eevil"


def _record(offset: int, value: bytes) -> StoredRecord:
    return StoredRecord(
        value=value, key=b"key", timestamp_ms=NOW + offset, offset=offset, origin=ORIGIN, sequence=offset + 1
    )


@dataclass(frozen=True)
class _Snapshot:
    @staticmethod
    def of():
        world = World()
        world.lag["node-b"] = 1_204
        return world.snapshot()


def _check() -> None:
    snapshot = _Snapshot.of()
    report = CheckReport(addr="127.0.0.1:8400", limits=Limits(), snapshot=snapshot, findings=findings(snapshot))
    for line in lines(report, CheckFormat.TABLE, explain=True):
        output.line(line)


def _consume() -> None:
    print(heading().decode(), end="")
    for record in (_record(0, b"value"), _record(1_234_567, HOSTILE.encode() + b"\x00" + b"long " * 60)):
        print(_row(record).decode(), end="")


def _events() -> list[UserEventSeen]:
    return [
        UserEventSeen(name="deploy", payload=b"1.2.3", ltime=7, at_ms=NOW - 5_000),
        UserEventSeen(name=HOSTILE, payload=b"\xff", ltime=8, at_ms=NOW),
    ]


def _figures() -> list[measure.FigureShape]:
    took = measure.latency([number / 1e4 for number in range(1, 1001)])
    return [
        measure.figure("produce", 1_000_000, 100, 1.5),
        measure.figure("produce", 10_000, 100, 2.0, rate=5_000, loop="open", took=took),
    ]


CASES: dict[str, Callable[[], None]] = {
    "members": lambda: output.as_table(tables.members(_Snapshot.of()), tables.MEMBERS),
    "status": lambda: output.as_table(tables.status(_Snapshot.of()), tables.STATUS),
    "lag": lambda: output.as_table(tables.lag(_Snapshot.of()), tables.LAG),
    "segments": lambda: output.as_table(tables.segments(_Snapshot.of()), tables.SEGMENTS),
    "copies": lambda: output.as_table(rows(_Snapshot.of()), copies.table(_Snapshot.of().copies.holders)),
    "check": _check,
    "consume": _consume,
    "consume-groups": lambda: output.as_table(
        [
            _Group(b"red", 12_345, 1 << 20, _record(0, b""), _record(99, b"")),
            _Group(None, 1, 3, _record(5, b""), _record(5, b"")),
        ],
        GROUPS,
    ),
    "positions": lambda: output.as_table(
        [NamedPosition("nightly", 2, Cursor({ORIGIN: SequenceNumber(7)}), NOW - 60_000, 12_345)], positions.POSITIONS
    ),
    "losses": lambda: output.as_table(
        [
            losses._range(DamagedRange(start_offset=5, end_offset=9, detail="checksum", found_at_ms=NOW - 90_000)),
            losses._range(
                AcceptedLoss(
                    start_offset=20,
                    end_offset=30,
                    detail="gone",
                    found_at_ms=NOW - 9_000_000,
                    accepted_by="root",
                    accepted_at_ms=NOW,
                    reason="no copy",
                )
            ),
        ],
        losses.LOSSES,
    ),
    "tags": lambda: output.as_table([tags.Tag("rack", "7"), tags.Tag("note", HOSTILE)], tags.TAGS),
    "keys": lambda: output.as_table([keys.KeyShape("a2V5", 3, 2, 3)], keys.KEYS),
    "events": lambda: output.as_table(_events(), events.EVENTS),
    "acl": lambda: output.as_table(
        [acl.Answer("root", "produce", True), acl.Answer("nobody", "operate", False)], acl.ANSWERS
    ),
    "certs": lambda: output.as_table(
        [certs.MadeCertificate("certs/server.pem", "server", ["localhost", "127.0.0.1"], NOW)], certs.CERTIFICATES
    ),
    "profile": lambda: output.as_table(
        [("staging", {"addr": "10.0.0.1:8400"}, True), ("production", {"addr": "c:3", "warning": "careful"}, False)],
        profile.PROFILES,
    ),
    "completion": lambda: output.as_table(
        [completion.ShellShape(*each) for each in completion.FILES.items()], completion.LISTED
    ),
    "spec": lambda: output.as_table(list(VERBS.items()), spec.LISTED),
    "bench": lambda: output.as_table(_figures(), bench.FIGURES),
    "bench-compare": lambda: output.as_table(
        [bench._row("produce closed records_per_s", 100.0, 120.0), bench._row("produce open p99_ms", 1.0, 1.5)],
        bench.COMPARED,
    ),
    "verify": lambda: output.as_table(
        [
            VerifyFinding(
                severity="damage",
                file="00000000000000000000.log",
                what="a checksum does not agree",
                advice="restore it",
                start_offset=5,
                end_offset=9,
            )
        ],
        verify.FINDINGS,
    ),
    "segments-verify": lambda: output.as_table(
        [DamagedRange(start_offset=5, end_offset=9, detail="checksum")], segments_verb.PROBLEMS
    ),
    "help": lambda: print(help_text()),
    "greeting": lambda: print(GREETING),
    **{
        f"help-{name}": (lambda text=text: print(filled(text)))
        for name, (_, text) in TOPICS.items()
        if name != "exit-codes"
    },
}


@pytest.fixture(autouse=True)
def _still(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(clock, "now_ms", lambda: NOW)
    monkeypatch.setenv("NO_COLOR", "1")
    zone.use_utc()
    yield
    zone.use_local()


@pytest.mark.parametrize("columns", [80, 140])
@pytest.mark.parametrize("name", CASES)
def test_it_is_as_recorded_and_fits(
    name: str, columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(output, "terminal_width", lambda: columns)
    monkeypatch.setenv("COLUMNS", str(columns))
    CASES[name]()
    shown = capsys.readouterr().out
    golden = GOLDENS / f"{name}-{columns}.txt"
    if os.environ.get("PROGLOG_UPDATE_GOLDENS"):
        GOLDENS.mkdir(exist_ok=True)
        golden.write_text(shown)

    assert not {"\x1b", "\u202e", "\x00"} & set(shown)
    assert shown == golden.read_text()
