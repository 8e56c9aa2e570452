"""Every kind of event that an agent records has words, a shape and a weight; what began has a length."""

import re
from pathlib import Path

from proglog.observe.happenings import MAX_EVENTS, Weight, happenings, mark_of
from proglog.telemetry import names
from proglog.wire.model import ClusterEvent

AGENT = Path(names.__file__).parents[1] / "agent"


def _event(at_ms: int, kind: str, subject: str = "b") -> ClusterEvent:
    return ClusterEvent(at_ms=at_ms, kind=kind, subject=subject, detail="")


def test_every_kind_that_the_agent_records_has_words():
    source = "\n".join(path.read_text() for path in AGENT.glob("*.py"))
    literal = set(re.findall(r'(?:record|_on_event)\(\s*"([a-z-]+)"', source))
    noticed = {f"{name}".lower().replace("_", "-") for name in re.findall(r"LogChange\(names\.([A-Z_]+)", source)}
    members = {
        name.replace("_", "-") for name in names.EVENTS if re.match("member_(join|leave|failed|update|reap)", name)
    }
    kinds = literal | noticed | members | {"log-full", "log-poisoned", "log-resumed"}
    assert {"replication-error", "segment-rolled", "log-damaged", "member-join", "range-refilled"} <= kinds
    assert {kind for kind in kinds if mark_of(kind)[0].word == kind} == set()


def test_every_word_belongs_to_an_event_that_telemetry_knows():
    from proglog.observe import happenings as module

    assert {kind.replace("-", "_") for kind in module._WORDS} <= set(names.EVENTS)


def test_an_unknown_kind_is_news_under_its_own_name():
    mark, weight = mark_of("disk-on-fire")
    assert (mark.word, weight) == ("disk-on-fire", Weight.NEWS)


def test_what_ended_has_its_length_and_what_has_not_goes_on():
    told = happenings(
        [
            _event(1_000, "member-failed"),
            _event(2_000, "member-failed", "c"),
            _event(4_500, "member-join"),
            _event(9_000, "segment-rolled", "a"),
        ],
        10_000,
    )
    assert [(each.lasted_ms, each.still) for each in told] == [
        (None, False),
        (None, False),
        (8_000, True),
        (3_500, False),
    ]


def test_only_the_newest_are_looked_at():
    told = happenings([_event(at, "member-update") for at in range(MAX_EVENTS + 9)], 0)
    assert len(told) == MAX_EVENTS
    assert told[0].event.at_ms == MAX_EVENTS + 8
