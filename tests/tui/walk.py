"""Every screen of the dashboard by the keys that lead to it from the panels, and every state that it can be in.

The goldens show all of them, hostile data goes through all of them.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import cache
from typing import Any

from proglog.errors import PermissionDeniedError
from proglog.record.record import StoredRecord
from proglog.tui.screens.main import MainScreen
from proglog.tui.state import DashState, Loaded, SnapshotArrived, Tick, reduce
from proglog.types import Offset, OriginId, SequenceNumber
from proglog.wire.model import MemberStatus
from tests.tui.conftest import NOW, Script, World
from tests.tui.poison import NASTY, poison_world

SIZES = ((140, 40), (80, 24), (40, 12), (20, 5))

SCREENS: dict[str, tuple[str, ...]] = {
    "members": ("1", "z"),
    "throughput": ("4", "z"),
    "replication": ("2", "z"),
    "origins": ("m", "z"),
    "copies": ("3", "z"),
    "origin": ("3", "down", "enter"),
    "segments": ("5", "z"),
    "segment": ("5", "G", "enter"),
    "events": ("6", "z"),
    "consumers": ("7", "z"),
    "filter": ("1", "slash", *"!node-b"),
    "member": ("1", "down", "enter"),
    "alerts": ("a",),
    "help": ("2", "question_mark"),
    "commands": ("colon",),
    "records": ("t",),
    "record": ("t", "k", "enter"),
}
"""Keys from the panels at rest."""

Step = Callable[[Any, Any], Awaitable[None]]


def stored(values: list[bytes]) -> list[StoredRecord]:
    """Returns records with these values, from offset 0 on."""
    return [
        StoredRecord(
            value=value, key=b"k%d" % index, timestamp_ms=1_790_000_000_000 + index * 900, headers=(("trace", b"1"),),
            offset=Offset(index), origin=OriginId(b"\xc0\xff\xee" + bytes(13)), sequence=SequenceNumber(index + 1),
        )
        for index, value in enumerate(values)
    ]  # fmt: skip


LIVE_VALUES = [b"hello", b'{"user": "ada", "n": [1, 2]}', b"\x00\x01\xfe\xff", "grüße 日本".encode(), b"[red]x[/]"]


@cache
def _live() -> tuple[DashState, World]:
    """A minute and a half of traffic, then node-b's records arrive late and are being caught up; made once."""
    world = World()
    world.readers = ("audit", "billing", "search")
    state = DashState(target=Script.target, now=NOW)

    def run(seconds: int) -> None:
        nonlocal state
        for _ in range(seconds):
            world.second += 1
            state = reduce(state, SnapshotArrived(world.snapshot(), NOW + world.second))

    run(70)
    world.events += [
        world.event(61, "segment-rolled", "node-a", "offsets [24000, 28000) are sealed: 1,024,000 bytes"),
        world.event(63, "replication-error", "node-b", "connection reset by peer"),
        world.event(67, "replication-resumed", "node-b", "10.0.0.2:8400"),
        world.event(68, "log-damaged", "node-a", "offsets [812, 820) cannot be read: checksum"),
        world.event(69, "range-refilled", "node-b", "offsets [812, 820) are whole again"),
    ]
    run(20)
    for step in range(10):
        world.lag["node-b"] = 4_000 - 300 * step
        world.trend["node-b"] = -300.0
        run(1)
    return state, world


async def live(dash: Any, world: Any) -> None:
    """Shows a cluster after that minute and a half; the test's own world continues from there."""
    assert world.second == 0
    state, after = _live()
    world.second, world.lag, world.trend = after.second, dict(after.lag), dict(after.trend)
    world.events, world.readers = list(after.events), after.readers
    dash.app.source.log = stored(LIVE_VALUES * 3)
    dash.app.state = state
    dash.app.mark_dirty()
    await dash.settle()


async def _waiting(dash: Any, world: Any) -> None:
    del world
    await dash.lose(2, attempt=3, error="cannot reach 127.0.0.1:8400: connection refused")


async def _empty(dash: Any, world: Any) -> None:
    """A fresh agent: alone, nothing written, nothing happened."""
    snapshot = world.snapshot()
    segment = replace(snapshot.segments[0], end_offset=0, bytes=0, record_count=0, batch_count=0, active=True)
    log = replace(snapshot.log, end_offset=0, bytes=0, segment_count=1, records_appended=0, bytes_appended=0)
    world.overrides = {
        "members": snapshot.members[:1], "origins": (), "peers": (), "segments": (segment,), "events": (),
        "log": replace(log, records_served=0),
    }  # fmt: skip
    await dash.run(3)


async def _silent(dash: Any, world: Any) -> None:
    await live(dash, world)
    await dash.wait(7)


async def _reconnecting(dash: Any, world: Any) -> None:
    await live(dash, world)
    world.status["node-c"] = MemberStatus.FAILED
    await dash.run()
    await dash.lose(5)


async def _stand_in(dash: Any, world: Any) -> None:
    await live(dash, world)
    await dash.lose(2)
    await dash.stand_in("node-b")


async def _refused(dash: Any, world: Any) -> None:
    del world
    await dash.lose(2, attempt=4, error=str(PermissionDeniedError("mallory", "watch", "*")))


async def _untrusted(dash: Any, world: Any) -> None:
    await live(dash, world)
    await dash.lose(3, error="TLS with 127.0.0.1:8400 failed: certificate verify failed: unable to get local issuer")


async def _paused(dash: Any, world: Any) -> None:
    await live(dash, world)
    await dash.press("left", "left", "left")


async def _replayed(dash: Any, world: Any) -> None:
    await live(dash, world)
    dash.app.dispatch(Loaded(dash.app.state.frames[-20:]))
    dash.app.dispatch(Tick(dash.now))
    await dash.settle()


async def _hostile(dash: Any, world: Any) -> None:
    await live(dash, world)
    poison_world(world, seed=7)
    dash.app.source.log = stored([text.encode("utf-8", "surrogatepass") for text in NASTY])
    await dash.run(2)


STATES: dict[str, Step] = {
    "waiting": _waiting,
    "empty": _empty,
    "live": live,
    "silent": _silent,
    "reconnecting": _reconnecting,
    "stand-in": _stand_in,
    "refused": _refused,
    "untrusted": _untrusted,
    "paused": _paused,
    "replayed": _replayed,
    "hostile": _hostile,
}
"""What has happened when the panels are looked at."""


async def home(dash: Any) -> None:
    """Goes back to the panels at rest, from wherever."""
    for _ in range(8):
        at_rest = isinstance(dash.app.screen, MainScreen) and not dash.app.screen.query_one("#panels").has_class(
            "-zoom"
        )
        if at_rest and not dash.app.screen.query_one("#filter").display:
            return
        await dash.press("escape")
    raise AssertionError(f"eight times escape does not lead back to the panels: {dash.app.screen}")
