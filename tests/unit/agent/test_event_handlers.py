"""Handler scripts: which events they ask for, what they are given, and that a bad one harms nobody."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from proglog.agent import event_handlers
from proglog.agent.event_handlers import MAX_WAITING, EventHandler, EventHandlers, parse_handlers
from proglog.errors import ConfigError, InvalidRequestError
from proglog.gossip.events import MemberEvent, MemberEventKind, QueryReceived, UserEventReceived
from proglog.gossip.member import Member, Status


def member(name: str, **tags: str) -> Member:
    return Member(
        name=name,
        addr="10.0.0.9",
        port=1,
        tags=tags,
        status=Status.ALIVE,
        incarnation=1,
        status_ltime=1,
        rtt_ms=None,
        since=0.0,
    )


JOIN = MemberEvent(kind=MemberEventKind.JOIN, member=member("b\t1", role="db", zone="n"))
DEPLOY = UserEventReceived(name="deploy", payload=b"v1", ltime=7)
LOAD = QueryReceived(query_id=3, name="load", payload=b"?", ltime=4, source="z", seconds=5.0)


class Reports:
    def __init__(self) -> None:
        self.failed: list[str] = []
        self.answers: list[tuple[int, bytes]] = []

    def emit(self, _kind: object, _subject: str = "", detail: str = "", /, **_facts: Any) -> None:
        self.failed.append(detail)

    def respond(self, query_id: int, payload: bytes) -> None:
        if len(payload) > 1024:
            raise InvalidRequestError("an answer has at most 1,024 bytes")
        self.answers.append((query_id, payload))


@asynccontextmanager
async def running(reports: Reports, *texts: str) -> AsyncGenerator[EventHandlers]:
    handlers = EventHandlers(
        tuple(handler for text in texts for handler in parse_handlers(text)),
        "me",
        tags=lambda: {"role": "web", "data-center": "x"},
        respond=reports.respond,
        emit=reports.emit,
    )
    task = asyncio.ensure_future(handlers.run())
    try:
        yield handlers
    finally:
        await handlers.close()
        task.cancel()
        await asyncio.wait([task])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("run.sh", [("*", "", "run.sh")]),
        ("A=1 run.sh", [("*", "", "A=1 run.sh")]),
        ("member-join,user=run.sh -x=1", [("member-join", "", "run.sh -x=1"), ("user", "", "run.sh -x=1")]),
        ("user:deploy,query:load=x", [("user", "deploy", "x"), ("query", "load", "x")]),
        ("*=x", [("*", "", "x")]),
    ],
)
def test_a_handler_says_which_events_it_asks_for(text: str, expected: list[tuple[str, str, str]]) -> None:
    assert parse_handlers(text) == tuple(EventHandler(*each) for each in expected)


@pytest.mark.parametrize("text", ["", "  ", "user=", "member-jion=x", "member-join:b=x", "user:=x"])
def test_a_handler_that_can_never_run_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--event-handler"):
        parse_handlers(text)


async def test_a_script_gets_serfs_variables_and_the_payload(tmp_path: Path, eventually: Callable[..., Any]) -> None:
    out, reports = tmp_path / "out", Reports()
    names = "$SERF_EVENT $SERF_SELF_NAME $SERF_SELF_ROLE $SERF_TAG_DATA_CENTER $SERF_USER_EVENT $SERF_USER_LTIME"
    async with running(reports, f"echo {names} >> {out}; cat >> {out}") as handlers:
        handlers.take(DEPLOY)
        await eventually(lambda: out.exists() and out.read_text().endswith("v1\n"))
        assert out.read_text() == "user me web x deploy 7\nv1\n"
        handlers.take(JOIN)
        await eventually(lambda: out.read_text().endswith("zone=n\n"))
        assert out.read_text().splitlines()[2:] == ["member-join me web x", "b\\t1\t10.0.0.9\tdb\trole=db,zone=n"]
    assert reports.failed == []


async def test_what_a_script_prints_answers_a_query(eventually: Callable[..., Any]) -> None:
    reports = Reports()
    async with running(
        reports, "query:load=cat; echo $SERF_QUERY_NAME $SERF_QUERY_LTIME", "query:other=echo no"
    ) as handlers:
        handlers.take(LOAD)
        await eventually(lambda: reports.answers != [])
        assert reports.answers == [(3, b"?\nload 4\n")]


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo wrong >&2; exit 3", "exit code 3: wrong"),
        ("kill -9 $$", "exit code -9"),
        ("head -c 2000 /dev/zero | tr '\\0' x", "1,024"),
        ("sleep 60", "ended after"),
    ],
)
async def test_a_script_that_fails_is_reported_and_the_next_event_is_handled(
    script: str, said: str, tmp_path: Path, eventually: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_handlers, "SCRIPT_SECONDS", 1.0)
    out, reports = tmp_path / "out", Reports()
    async with running(reports, f"query={script}", f"user=touch {out}") as handlers:
        handlers.take(LOAD)
        handlers.take(DEPLOY)
        await eventually(out.exists)
    assert len(reports.failed) == 1
    assert said in reports.failed[0]


async def test_events_that_no_script_can_follow_are_dropped_and_counted(
    tmp_path: Path, eventually: Callable[..., Any]
) -> None:
    reports, gate = Reports(), tmp_path / "gate"
    async with running(reports, f"user=until test -e {gate}; do sleep 0.02; done; exec true") as handlers:
        for _ in range(MAX_WAITING + 10):
            handlers.take(DEPLOY)
        handlers._waiting.clear()  # what waits is bounded; running all would take long
        gate.touch()
        await eventually(lambda: reports.failed != [])
    assert reports.failed == ["10 events were dropped: the scripts are too slow"]


async def test_the_end_of_an_agent_ends_the_script_that_runs(tmp_path: Path, eventually: Callable[..., Any]) -> None:
    started, reports = tmp_path / "started", Reports()
    async with running(reports, f"touch {started}; sleep 600") as handlers:
        handlers.take(DEPLOY)
        await eventually(started.exists)
        await handlers.close()
        await eventually(lambda: handlers._process is None)
    assert reports.failed == []
