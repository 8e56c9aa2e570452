"""A made-up cluster with a frozen clock, a dashboard to show it on, and the text grid of a screen."""

import asyncio
import os
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC
from itertools import pairwise
from pathlib import Path

import pytest
from textual import _wait
from textual._context import active_app, active_message_pump
from textual.pilot import Pilot

from proglog.client.offset_spec import OffsetSpec, OffsetSpecKind
from proglog.errors import DataLossError, ProglogError
from proglog.observe.columns import AnyRow
from proglog.observe.copies import Word, picture
from proglog.observe.spans import Locale, line, plain
from proglog.record.batch import BatchHeader, encode, parse_header
from proglog.record.record import StoredRecord
from proglog.replication.progress import Progress
from proglog.tui import plots
from proglog.tui.app import DashApp
from proglog.tui.panels.base import TablePanel
from proglog.tui.panels.replication.panel import ReplicationPanel
from proglog.tui.panels.segments.verification import Verifier
from proglog.tui.screens.main import MainScreen
from proglog.tui.source import Place
from proglog.tui.state import Change, ConnectionLost, DashState, MemberReported, SnapshotArrived, Tick
from proglog.tui.table import Columns, Order, column_widths, render_cells
from proglog.tui.themes import DEFAULT_THEME
from proglog.types import Offset, OriginId, SequenceNumber
from proglog.wire.model import (
    ClusterEvent,
    ClusterSnapshot,
    ConsumerStatus,
    Copies,
    FsyncPolicy,
    IndexState,
    LatencyStatus,
    LogState,
    LogStatus,
    Member,
    MemberStatus,
    NodeStatus,
    OriginStatus,
    PeerOrigin,
    PeerState,
    PeerStatus,
    Segment,
    Verified,
)

_wait.SLEEP_GRANULARITY, _wait.SLEEP_IDLE = 0.01, 0.0005
"""Seconds between two looks at whether the application idles, and what idling may take: half of Textual's own."""
NOW = 1_790_000_000.0
"""The frozen clock: 2026-09-21 14:13:20 UTC."""
SEGMENT_RECORDS = 4_000
RECORD_BYTES = 256


def origin_of(name: str) -> bytes:
    return random.Random(name).randbytes(16)


class World:
    """Three nodes; the agent is node-a. Every second node-a writes, node-b writes half as fast, node-c rarely."""

    names = ("node-a", "node-b", "node-c")

    def __init__(self) -> None:
        self.second = 0
        self.status = dict.fromkeys(self.names, MemberStatus.ALIVE)
        self.lag = dict.fromkeys(self.names, 0)
        self.trend = dict.fromkeys(self.names, 0.0)
        self.overrides: dict[str, object] = {}
        self.since: dict[str, int] = {}
        """The second in which a member got its status; without one, long ago."""
        self.damaged: dict[tuple[str, str], tuple[tuple[int, int], ...]] = {}
        """Of a member and a writer: the sequences that the member cannot read."""
        self.last_words: dict[str, dict[bytes, int]] = {}
        """Of a member that is gone: how far it was with each origin."""
        self.readers: tuple[str, ...] = ()
        """Named consumers: billing, search, audit."""
        self.events: list[ClusterEvent] = [
            self.event(-600 + 60 * n, "member-join", name, f"10.0.0.{n + 1}:8401") for n, name in enumerate(self.names)
        ]

    def event(self, second: float, kind: str, subject: str, detail: str) -> ClusterEvent:
        return ClusterEvent(at_ms=round((NOW + second) * 1000), kind=kind, subject=subject, detail=detail)

    def written(self, name: str) -> int:
        pace = {"node-a": 120, "node-b": 60, "node-c": 7}[name]
        waves = sum((step * 37) % 50 for step in range(self.second)) if name == "node-a" else 0
        return 5_000 + pace * self.second + waves

    def held(self, name: str) -> int:
        return self.written(name) - self.lag[name]

    def snapshot(self) -> ClusterSnapshot:
        total = sum(map(self.held, self.names))
        now_ms = round((NOW + self.second) * 1000)
        values: dict[str, object] = {
            "node": self._node(),
            "log": self._log(total),
            "members": tuple(self._member(index, name) for index, name in enumerate(self.names)),
            "origins": tuple(self._origin_status(name, now_ms) for name in self.names),
            "peers": tuple(self._peer(name) for name in self.names[1:]),
            "segments": self._segments(total, now_ms),
            "events": tuple(self.events),
            "taken_at_ms": now_ms,
            "copies": self.copies(),
            "consumers": self.consumers(now_ms),
            "latencies": (
                LatencyStatus(what="append", count=900, median_us=1_900, p99_us=6_200, max_us=9_000),
                LatencyStatus(what="sync", count=310, median_us=1_200, p99_us=4_800, max_us=7_100),
                LatencyStatus(what="ack", count=880, median_us=4_100, p99_us=12_000, max_us=21_000),
            ),
        }
        return ClusterSnapshot(**{**values, **self.overrides})  # type: ignore[arg-type]

    def told_by(self, name: str) -> ClusterSnapshot:
        """What another member says: it has all of its own records, and is the first of its members."""
        own = self.snapshot()
        node = replace(own.node, name=name, origin=origin_of(name), started_at_ms=own.node.started_at_ms + 600_000)
        next_sequence = {origin_of(name): self.written(name) + 2}
        return replace(
            own,
            node=node,
            log=replace(
                own.log,
                bytes=own.log.bytes + self.lag[name] * RECORD_BYTES,
                end_offset=own.log.end_offset + self.lag[name],
            ),
            members=tuple(replace(member, local=member.name == name) for member in own.members),
            origins=tuple(
                replace(origin, next_sequence=next_sequence.get(origin.origin, origin.next_sequence))
                for origin in own.origins
            ),
            peers=tuple(replace(self._peer(other), origins=()) for other in self.names if other != name),
        )

    def copies(self) -> Copies:
        """Who holds what: node-a lacks what it trails by, the others have each other's; two seconds are in flight."""
        ends = {origin_of(name): self.written(name) + 2 for name in self.names}
        here = {origin_of(name): self.held(name) + 2 for name in self.names}
        settled = {
            origin_of(name): min(self.written(name), 5_000 + (self.written(name) - 5_000) * 97 // 100) + 2
            for name in self.names
        }
        words = [
            Word(
                name=name,
                status=self.status[name],
                local=name == "node-a",
                word_ms=0 if self.status[name] is MemberStatus.ALIVE else 11_000,
                origins={
                    OriginId(origin): Progress(
                        OriginId(origin),
                        SequenceNumber(self.last_words.get(name, {}).get(origin, end)),
                        node_name=writer,
                        damaged=self.damaged.get((name, writer), ()),
                    )
                    for writer, (origin, end) in zip(
                        self.names, (here if name == "node-a" else ends).items(), strict=True
                    )
                },
            )
            for name in self.names
        ]
        return picture(words, {OriginId(origin): end for origin, end in settled.items()})

    def consumers(self, now_ms: int) -> tuple[ConsumerStatus, ...]:
        """One that is up to date, one that catches up, one that ended: the names of ``readers`` alone."""
        total = sum(map(self.held, self.names))
        behind = {"billing": 0, "search": max(4_000 - 20 * self.second, 0), "audit": total - 1_000}
        return tuple(
            ConsumerStatus(
                name=name, epoch=0, committed_at_ms=now_ms - (400 if name != "audit" else 7_200_000),
                records_behind=behind[name], lag_ms=behind[name] * 6 or None, consumed=total - behind[name],
            )
            for name in sorted(self.readers)
        )  # fmt: skip

    def _node(self) -> NodeStatus:
        return NodeStatus(
            name="node-a", version="0.1.0", origin=origin_of("node-a"), rpc_addr="10.0.0.1:8400",
            bind_addr="10.0.0.1:8401", data_dir="/var/lib/proglog", started_at_ms=round((NOW - 3_600) * 1000),
            tls=True, acl=True, gossip_encrypted=False,
        )  # fmt: skip

    def _log(self, total: int) -> LogStatus:
        return LogStatus(
            start_offset=0, end_offset=total, bytes=total * RECORD_BYTES, segment_count=total // SEGMENT_RECORDS + 1,
            fsync=FsyncPolicy.ALWAYS, state=LogState.OK, disk_free_bytes=64 * 10**9, disk_total_bytes=100 * 10**9,
            records_appended=total, bytes_appended=total * RECORD_BYTES, records_served=total // 2,
        )  # fmt: skip

    def _member(self, index: int, name: str) -> Member:
        return Member(
            name=name, addr=f"10.0.0.{index + 1}:8401", status=self.status[name],
            tags={"rpc_addr": f"10.0.0.{index + 1}:8400"}, rtt_ms=None if index == 0 else 0.4 * index,
            status_since_ms=(self.second - self.since.get(name, 60 * index - 600)) * 1000, incarnation=index + 1, local=index == 0,
        )  # fmt: skip

    def _origin_status(self, name: str, now_ms: int) -> OriginStatus:
        return OriginStatus(
            origin=origin_of(name), node_name=name, next_sequence=self.held(name) + 2, floor_sequence=1,
            bytes=self.held(name) * RECORD_BYTES, last_append_at_ms=now_ms, local=name == "node-a",
            source="" if name == "node-a" else name,
        )  # fmt: skip

    def _peer(self, name: str) -> PeerStatus:
        alive = self.status[name] is MemberStatus.ALIVE
        return PeerStatus(
            name=name, rpc_addr="10.0.0.9:8400", state=PeerState.STREAMING if alive else PeerState.BACKING_OFF,
            error="" if alive else "connection refused", records_copied=self.held(name), bytes_copied=0,
            records_dropped=0, retry_in_ms=None if alive else 800,
            origins=tuple(self._peer_origin(name, origin) for origin in self.names),
        )  # fmt: skip

    def _peer_origin(self, peer: str, origin: str) -> PeerOrigin:
        lag = self.lag[origin] if origin == peer else 0
        trend = self.trend[origin] if lag else 0.0
        return PeerOrigin(
            origin=origin_of(origin), node_name=origin, next_sequence=self.held(origin) + 2,
            peer_next_sequence=self.held(origin) + lag + 2, lag_records=lag, lag_bytes=lag * RECORD_BYTES,
            lag_ms=lag * 3, peer_lag_records=0, source=origin == peer,
            lag_trend=trend, catch_up_ms=round(-1_000 * lag / trend) if trend < 0 else None if lag else 0,
        )  # fmt: skip

    def _segments(self, total: int, now_ms: int) -> tuple[Segment, ...]:
        bases = [*range(0, total, SEGMENT_RECORDS), total]
        return tuple(
            Segment(
                base_offset=base, end_offset=end, bytes=(end - base) * RECORD_BYTES, record_count=end - base,
                batch_count=(end - base) // 10 + 1, first_timestamp_ms=now_ms - (total - base) * 5,
                max_timestamp_ms=now_ms - (total - end) * 5, active=end == total, index_state=IndexState.OK, index_bytes=160,
            )
            for base, end in pairwise(bases)
        )  # fmt: skip


def batch_header(offset: int, count: int) -> BatchHeader:
    """What the header of a batch of ``count`` records says."""
    time_ms = round(NOW * 1000) - (15_000 - offset) * 5
    data = encode(bytes(1_000), count=count, first_timestamp_ms=time_ms, max_timestamp_ms=time_ms)
    return parse_header(data)._replace(
        base_offset=Offset(offset), base_sequence=SequenceNumber(offset + 1), append_time_ms=time_ms + 2,
        origin=OriginId(b"\xc0\xff\xee" + bytes(13)),
    )  # fmt: skip


class Script:
    """A source that says nothing by itself: tests dispatch the events."""

    target = "127.0.0.1:8400"
    tls_flags = ()
    replay = ""

    def __init__(self) -> None:
        self.log: list[StoredRecord] = []
        self.damaged: tuple[int, int] | None = None
        self.grown = asyncio.Event()
        self.batch = 1
        """Records that come at once."""
        self.verifying: list[int] = []
        self.verified: asyncio.Queue[Verified | ProglogError] = asyncio.Queue()

    def at(self, addr: str) -> "Script":
        other = Script()
        other.target = addr
        return other

    async def changes(self) -> AsyncIterator[Change]:
        for event in ():
            yield event

    async def records(self, start: Place) -> AsyncIterator[tuple[Sequence[StoredRecord], OffsetSpec]]:
        """What the test put there, then what it adds."""
        offset = self._offset(start)
        while True:
            while offset < len(self.log):
                if self.damaged and self.damaged[0] <= offset < self.damaged[1]:
                    raise DataLossError(*self.damaged)
                portion = self.log[offset : offset + self.batch]
                offset += self.batch
                yield portion, OffsetSpec.offset(offset)
            self.grown.clear()
            await self.grown.wait()

    async def batches(self, start: OffsetSpec, end: OffsetSpec | None) -> AsyncIterator[tuple[BatchHeader, OffsetSpec]]:
        """Batches of ten records up to the end of the range; without one, for ever."""
        last = end.value if end else 2**63
        for offset in range(start.value, last, 10):
            if self.damaged and self.damaged[0] <= offset < self.damaged[1]:
                raise DataLossError(*self.damaged)
            header = batch_header(offset, min(10, last - offset))
            yield header, OffsetSpec.offset(header.end_offset)

    async def verify(self, base_offset: int) -> AsyncIterator[Verified]:
        """What the test told of verifying, as it tells it."""
        self.verifying.append(base_offset)
        while True:
            told = await self.verified.get()
            if isinstance(told, ProglogError):
                raise told
            yield told
            if told.finished:
                return

    def _offset(self, place: Place) -> int:
        if not isinstance(place, OffsetSpec):
            return 0
        match place.kind:
            case OffsetSpecKind.BEFORE_END:
                return max(len(self.log) - place.value, 0)
            case OffsetSpecKind.TIME_MS:
                return next((r.offset for r in self.log if r.timestamp_ms >= place.value), len(self.log))
            case _:
                return place.value


class Dash:
    """A dashboard under test: the world moves when the test says so."""

    def __init__(self, app: DashApp, pilot: Pilot[None], world: World) -> None:
        self.app = app
        self.pilot = pilot
        self.world = world

    @property
    def now(self) -> float:
        return NOW + self.world.second

    async def run(self, seconds: int = 1) -> None:
        """Lets seconds pass in a live cluster."""
        for _ in range(seconds):
            self.tick()
        await self.settle()

    def tick(self) -> None:
        """Lets a second pass that nobody looks at."""
        self.world.second += 1
        self.app.dispatch(SnapshotArrived(self.world.snapshot(), self.now))

    async def lose(self, seconds: int = 1, *, attempt: int = 7, error: str = "connection refused") -> None:
        """Lets seconds pass without the agent."""
        self.app.dispatch(ConnectionLost(at=self.now, attempt=attempt, retry_in=2.0 + seconds, error=error))
        for _ in range(seconds):
            self.world.second += 1
            self.app.dispatch(Tick(self.now))
        await self.settle()

    async def wait(self, seconds: int) -> None:
        """Lets seconds pass in which the agent says nothing."""
        for _ in range(seconds):
            self.world.second += 1
            self.app.dispatch(Tick(self.now))
        await self.settle()

    async def hear(self, *names: str) -> None:
        """Lets members say themselves what they hold."""
        for name in names:
            self.app.dispatch(MemberReported(name, self.world.told_by(name), self.now))
        await self.settle()

    async def stand_in(self, name: str) -> None:
        """Lets a member speak in the place of the agent, which was lost."""
        self.world.second += 1
        speaker = SnapshotArrived(self.world.told_by(name), self.now, stand_in=f"10.0.0.{ord(name[-1]) - 96}:8400")
        self.app.dispatch(speaker)
        await self.settle()

    async def settle(self) -> None:
        """Waits until nothing is left to be drawn, however busy the machine is."""
        await self.pilot.pause()
        for _ in range(20):
            self.app.flush()
            await self.pilot._wait_for_screen()
            screen = self.app.screen
            screen._on_timer_update()
            if not (screen._callbacks or screen._layout_required or screen._dirty_widgets or self.app._dirty):
                return

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await self.settle()

    @property
    def text(self) -> str:
        """What the screen shows, line by line, without colours."""
        strips = self.app.screen._compositor.render_strips()
        return "\n".join("".join(segment.text for segment in strip).rstrip() for strip in strips)


def drawn(columns: Columns, rows: Sequence[AnyRow], width: int) -> list[str]:
    """Returns the lines of a table in ``width`` cells, its heading first, without starting an application."""
    widths = column_widths(columns, width)
    titles = [line(column.title) for column in columns]
    return [plain(render_cells(cells, columns, widths)) for cells in (titles, *(row.cells for row in rows))]


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def golden() -> Callable[[str, str], None]:
    """Compares a screen with ``goldens/NAME.txt``; PROGLOG_UPDATE_GOLDENS=1 writes the file instead."""

    def compare(name: str, text: str) -> None:
        path = Path(__file__).parent / "goldens" / f"{name}.txt"
        if os.environ.get("PROGLOG_UPDATE_GOLDENS"):
            path.parent.mkdir(exist_ok=True)
            path.write_text(text + "\n", encoding="utf-8")
        assert text + "\n" == path.read_text(encoding="utf-8")

    return compare


class Stage:
    """One application for many tests: started once, put to rest after each, thrown away when it does not look new.

    Starting one takes most of the time of a short test. It runs in a task of its own, since fixtures and tests do not
    share theirs.
    """

    def __init__(self) -> None:
        self.starts = 0
        self._app: DashApp | None = None
        self._pilot: Pilot[None] | None = None
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._new: dict[tuple[tuple[int, int], bool], str] = {}
        """How a new dashboard looks, by size and character set."""

    async def dash(self, world: World, size: tuple[int, int], *, ascii_only: bool) -> Dash:
        """Returns a dashboard that looks new."""
        if self._app is None:
            await self._start(size)
        dash = await self._at_rest(world, size, ascii_only=ascii_only)
        new = self._new.setdefault((size, ascii_only), dash.text)
        if dash.text != new:
            await self.close()
            await self._start(size)
            dash = await self._at_rest(world, size, ascii_only=ascii_only)
        return dash

    async def _start(self, size: tuple[int, int]) -> None:
        self.starts += 1
        ready: asyncio.Future[Pilot[None]] = asyncio.get_running_loop().create_future()
        self._stop = asyncio.Event()
        self._app = DashApp(Script(), locale=Locale(timezone=UTC, now=lambda: NOW), live=False)
        self._task = asyncio.create_task(self._host(self._app, size, ready, self._stop))
        await asyncio.wait([ready, self._task], return_when=asyncio.FIRST_COMPLETED)
        self._pilot = ready.result()

    @staticmethod
    async def _host(
        app: DashApp, size: tuple[int, int], ready: "asyncio.Future[Pilot[None]]", stop: asyncio.Event
    ) -> None:
        async with app.run_test(size=size) as pilot:
            ready.set_result(pilot)
            await stop.wait()

    async def _at_rest(self, world: World, size: tuple[int, int], *, ascii_only: bool) -> Dash:
        """Takes away everything that an earlier test may have left."""
        app, pilot = self._app, self._pilot
        assert app is not None
        assert pilot is not None
        active_app.set(app)
        active_message_pump.set(app)
        app.workers.cancel_all()
        while len(app.screen_stack) > 1:
            await app.pop_screen()
        del app.tabs[1:]
        app.tab = app.tabs[0]
        app.source, app.clock, app.allow_writes = Script(), lambda: NOW + world.second, False
        app.state = DashState(target=app.source.target, now=app.clock())
        app.locale = Locale(ascii_only=ascii_only, timezone=UTC, now=lambda: NOW)
        app.verifier = Verifier(app, app._run_verification)
        app.set_class(ascii_only, "-ascii")
        app.theme = DEFAULT_THEME
        app.set_keymap({})
        app.clear_notifications()
        app._clipboard = ""
        if app.size != size:
            await pilot.resize_terminal(*size)
        await self._main_at_rest(app)
        dash = Dash(app, pilot, world)
        app.mark_dirty()
        await dash.settle()
        return dash

    @staticmethod
    async def _main_at_rest(app: DashApp) -> None:
        main = app.screen
        assert isinstance(main, MainScreen)
        main.query_one("#panels").set_class(False, "-zoom")
        main._filter.display, main._filter.value = False, ""
        main._plot_seconds = plots.WINDOWS[1]
        for panel in main._panels.values():
            if isinstance(panel, TablePanel):
                panel._summary = (None, "")
                table = panel.table
                table._order, table._needle = Order(), ""
                table._cursor, table._cursor_key, table._at_column, table._top = 0, "", 0, 0
                table.set_rows([], panel.COLUMNS)
        main.query_one(ReplicationPanel)._mode = "peers"
        if app.focused is not main.table("members"):
            main.action_panel("members")
            main.query_one("#panels").set_class(False, "-zoom")

    async def close(self, *, failed: bool = False) -> None:
        """Ends the application; raises what ended it."""
        task, self._task, self._app, self._pilot = self._task, None, None, None
        self._stop.set()
        if task is not None:
            try:
                await task
            except Exception:
                if not failed:
                    raise

    @property
    def over(self) -> bool:
        """Whether the application has ended, by itself or by a key."""
        return self._app is None or self._app._exit or self._app._exception is not None


@pytest.fixture(scope="session")
async def stage() -> AsyncIterator[Stage]:
    """The application that tests share."""
    shared = Stage()
    yield shared
    await shared.close()


OpenDash = Callable[..., object]


@pytest.fixture
def open_dash(stage: Stage, world: World, monkeypatch: pytest.MonkeyPatch):
    """Opens a dashboard on the made-up cluster: ``async with open_dash((80, 24)) as dash``.

    It is the shared one, at rest, or one ``of_its_own`` where a test is about how an application starts.
    """
    monkeypatch.setenv("TEXTUAL_ANIMATIONS", "none")

    @asynccontextmanager
    async def opened(
        size: tuple[int, int] = (140, 40), *, ascii_only: bool = False, of_its_own: bool = False
    ) -> AsyncIterator[Dash]:
        if of_its_own:
            locale = Locale(ascii_only=ascii_only, timezone=UTC, now=lambda: NOW)
            app = DashApp(Script(), locale=locale, clock=lambda: NOW + world.second, live=False)
            async with app.run_test(size=size) as pilot:
                dash = Dash(app, pilot, world)
                await dash.settle()
                yield dash
            return
        try:
            yield await stage.dash(world, size, ascii_only=ascii_only)
        except BaseException:
            await stage.close(failed=True)
            raise
        if stage.over:
            await stage.close()

    return opened
