"""Every kind of event that an agent records has words, a shape and a weight; what began has a length."""

from proglog.observe.events import MAX_EVENTS, mark_of, shown_events
from proglog.telemetry.emit import Weight
from proglog.telemetry.events import EVENTS
from proglog.wire.model import ClusterEvent


def _event(at_ms: int, kind: str, subject: str = "b") -> ClusterEvent:
    return ClusterEvent(at_ms=at_ms, kind=kind, subject=subject, detail="")


def test_every_event_of_the_status_has_words_that_fit_its_column():
    shown = [kind for kind in EVENTS.values() if kind.words]

    assert {"replication_error", "segment_rolled", "log_damaged", "member_join"} <= {kind.name for kind in shown}
    assert [kind.words for kind in shown if mark_of(kind.status_name)[0].word != kind.words] == []
    assert [kind.words for kind in shown if len(kind.words) > 19] == []


def test_an_unknown_kind_is_news_under_its_own_name():
    mark, weight = mark_of("disk-on-fire")
    assert (mark.word, weight) == ("disk-on-fire", Weight.NEWS)


def test_what_ended_has_its_length_and_what_has_not_continues():
    told = shown_events(
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
    told = shown_events([_event(at, "member-update", f"m{at}") for at in range(MAX_EVENTS + 9)], 0)
    assert len(told) == MAX_EVENTS
    assert told[0].event.at_ms == MAX_EVENTS + 8


def test_equal_neighbours_are_one_and_counted():
    failing = [_event(at, "replication-error") for at in (1_000, 2_000, 3_000)]
    told = shown_events([*failing, _event(4_000, "member-join", "c"), _event(5_000, "replication-error")], 10_000)
    assert [(each.event.at_ms, each.count) for each in told] == [(5_000, 1), (4_000, 1), (3_000, 3)]
