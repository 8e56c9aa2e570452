"""What one follower is sent of a log, without a network."""

from pathlib import Path

import pytest

from kit.origins import fill
from proglog.errors import DataLossError, InvalidRequestError
from proglog.log.config import LogConfig
from proglog.log.log import Log
from proglog.log.model import ImportAppend, LocalAppend, LogPosition
from proglog.record import batch, columns, scan
from proglog.record.batch import VerifiedBatch, verify
from proglog.replication.progress import RefusalKind
from proglog.server import feed as feed_module
from proglog.server.feed import Feed, answer_from
from proglog.types import FilePosition, NodeName, OriginId, SequenceNumber

FIRST = SequenceNumber(1)


def open_log(path: Path, name: str = "a") -> Log:
    return Log.open(path, LogConfig(segment_bytes=4096), node_name=NodeName(name))


def produce(log: Log, *values: bytes) -> None:
    data = batch.encode(columns.from_values(values), count=len(values), first_timestamp_ms=1, max_timestamp_ms=1)
    log.append([LocalAppend(verify(data))])


def log_of(feed: Feed) -> Log:
    assert isinstance(feed.log, Log)
    return feed.log


def settled(feed: Feed) -> Feed:
    """The feed, with its question answered."""
    question = feed.question()
    if question is not None:
        feed.settle(answer_from(question, log_of(feed)))
    return feed


def read_all(feed: Feed) -> list[VerifiedBatch]:
    """Take everything that the feed has, as a stream would."""
    found: list[VerifiedBatch] = []
    while not (settled(feed).pass_over_everything() or feed.at_end):
        cursor = feed.at
        read = log_of(feed).read(cursor, 2048)
        found += scan.batches(feed.take(cursor, read.data, read.next))
    return found


def values(batches: list[VerifiedBatch]) -> list[bytes]:
    return [value for each in batches for value in scan.values(each)]


@pytest.fixture
def two_origins(tmp_path: Path) -> tuple[Log, OriginId]:
    """A log with own records, and the other origin that it holds, interleaved."""
    log, other = open_log(tmp_path / "a"), open_log(tmp_path / "b", "b")
    for number in range(40):
        produce(log, b"a%d" % number)
        produce(other, b"b%d" % number)
    feed = Feed(other)
    feed.want(other.origin, FIRST, 0)
    log.append([ImportAppend(each) for each in read_all(feed)])
    other.close()
    return log, other.origin


def test_only_what_is_wanted_is_sent_from_where_it_is_wanted(two_origins: tuple[Log, OriginId]) -> None:
    log, other = two_origins
    feed = Feed(log)

    feed.want(other, SequenceNumber(32), 0)  # sequence 1 is the origin's first batch, 32 the record 30

    assert values(read_all(feed)) == [b"b%d" % number for number in range(30, 40)]
    assert feed.events() == []


def test_a_later_want_of_another_origin_repeats_nothing_of_the_first(two_origins: tuple[Log, OriginId]) -> None:
    log, other = two_origins
    feed = Feed(log)
    feed.want(other, FIRST, 0)
    assert len(values(read_all(feed))) == 40

    feed.want(log.origin, FIRST, 0)

    assert values(read_all(feed)) == [b"a%d" % number for number in range(40)]


def test_a_read_that_a_want_has_overtaken_sends_nothing(two_origins: tuple[Log, OriginId]) -> None:
    log, other = two_origins
    feed = Feed(log)
    feed.want(other, SequenceNumber(39), 0)
    cursor = settled(feed).at
    read = log.read(cursor, 2048)
    feed.want(log.origin, FIRST, 0)

    assert feed.take(cursor, read.data, read.next) == b""
    assert len(values(read_all(feed))) == 43


def test_what_is_not_wanted_any_more_is_not_sent(two_origins: tuple[Log, OriginId]) -> None:
    log, other = two_origins
    feed = Feed(log)
    feed.want(other, FIRST, 0)
    feed.unwant(other)

    assert read_all(feed) == []


def test_an_origin_that_comes_later_is_sent_when_it_comes(tmp_path: Path) -> None:
    log = open_log(tmp_path / "a")
    other = open_log(tmp_path / "b", "b")
    produce(other, b"x")
    source, feed = Feed(other), Feed(log)
    feed.want(other.origin, FIRST, 0)
    assert read_all(feed) == []

    source.want(other.origin, FIRST, 0)
    log.append([ImportAppend(each) for each in read_all(source)])

    assert values(read_all(feed)) == [b"x"]


def test_a_follower_with_another_chain_at_the_same_place_learns_of_the_fork(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    feed = Feed(log)

    feed.want(log.origin, log.origins()[log.origin].next_sequence, chain_crc=1)

    (event,) = feed.events()
    assert event.kind is RefusalKind.FORKED
    assert feed.pass_over_everything()


def test_rot_is_not_sent_and_said_to_be_damage_with_the_place_to_continue(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    for number in range(100):
        produce(log, b"%03d" % number)
    assert log.segment_count > 1
    store = min(tmp_path.glob("*.log"))
    data = bytearray(store.read_bytes())
    rotten = data.index(b"\n\x03010")
    data[rotten] ^= 1
    store.write_bytes(data)
    feed = Feed(log)

    feed.want(log.origin, FIRST, 0)

    assert values(read_all(feed)) == [b"%03d" % number for number in range(10)]
    (event,) = feed.events()
    assert (event.kind, event.sequence) == (RefusalKind.DAMAGED, 13)
    (lost,) = log.damaged()  # though this process wrote it, whole, a moment ago
    assert (lost.start, lost.end) == (10, 11)
    feed.want(log.origin, SequenceNumber(13), 0)
    assert values(read_all(feed)) == [b"%03d" % number for number in range(11, 100)]


def test_positions_are_reported_once_and_again_when_they_change(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    feed = Feed(log)

    assert [position.next_sequence for position in feed.changed_positions()] == [2]
    assert not feed.has_news()
    produce(log, b"x")
    assert feed.has_news()
    assert [position.next_sequence for position in feed.changed_positions()] == [3]


def test_a_follower_cannot_want_without_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "MAX_WANTED", 2)
    feed = Feed(open_log(tmp_path))
    feed.want(OriginId(b"1" * 16), FIRST, 0)
    feed.want(OriginId(b"2" * 16), FIRST, 0)

    with pytest.raises(InvalidRequestError, match="2 origins"):
        feed.want(OriginId(b"3" * 16), FIRST, 0)


def rot(data_dir: Path, *rotten: bytes) -> None:
    """Flip a bit of each of these values on the disk."""
    for value in rotten:
        store = next(path for path in data_dir.glob("*.log") if value in path.read_bytes())
        data = bytearray(store.read_bytes())
        data[data.index(value)] ^= 1
        store.write_bytes(data)


def sealed_log(path: Path, count: int) -> Log:
    """A closed log with values 100 to 100 + count, one a batch, the segments of which are sealed but for the last."""
    log = open_log(path)
    for number in range(count):
        produce(log, b"value-%d" % (100 + number))
    return log


def all_events(log: Log, origin: OriginId, first: SequenceNumber) -> tuple[list[bytes], list[tuple[RefusalKind, int]]]:
    feed, found = Feed(log), []
    feed.want(origin, first, 0)
    for _ in range(1000):
        if settled(feed).pass_over_everything() or feed.at_end:
            break
        cursor = feed.at
        try:
            read = log.read(cursor, 2048)
        except DataLossError as exc:
            feed.skip_unreadable(exc)
        else:
            found += scan.batches(feed.take(cursor, read.data, read.next))
    return values(found), [(event.kind, event.sequence) for event in feed.events()]


def test_two_damaged_ranges_side_by_side_are_reported_like_one(tmp_path: Path) -> None:
    """The pass went to the end at the second, and a follower of a quiet origin waited for ever."""
    log = sealed_log(tmp_path, 60)
    log.close()
    rot(tmp_path, b"value-103", b"value-104")
    log = open_log(tmp_path)

    sent, events = all_events(log, log.origin, SequenceNumber(2))

    assert sent == [b"value-100", b"value-101", b"value-102"]
    assert events == [(RefusalKind.DAMAGED, 7)]


def test_a_damaged_end_is_reported_though_nothing_follows_it(tmp_path: Path) -> None:
    source = sealed_log(tmp_path / "source", 5)
    feed = Feed(source)
    feed.want(source.origin, FIRST, 0)
    log = open_log(tmp_path / "log")
    log.append([ImportAppend(each) for each in read_all(feed)])
    for number in range(60):
        produce(log, b"own-%d" % number)
    log.close()
    index = {path.name: path.read_bytes() for path in (tmp_path / "log").glob("*.index")}
    assert index  # the sealed segment knows how far the origin goes, whatever becomes of the batch
    rot(tmp_path / "log", b"value-104")
    log = open_log(tmp_path / "log")
    assert log.origins()[source.origin].next_sequence == 7

    sent, events = all_events(log, source.origin, SequenceNumber(2))

    assert sent == [b"value-100", b"value-101", b"value-102", b"value-103"]
    assert events == [(RefusalKind.DAMAGED, 7)]


def test_what_a_follower_already_has_is_not_read_again_for_it(two_origins: tuple[Log, OriginId]) -> None:
    log, other = two_origins
    feed = Feed(log)
    feed.want(other, log.origins()[other].next_sequence, 0)
    produce(log, b"nobody asked for this")

    assert feed.pass_over_everything()
    assert feed.at_end


def test_for_what_is_damaged_the_pass_goes_back_to_its_segment_and_no_farther(tmp_path: Path) -> None:
    sealed_log(tmp_path, 200).close()
    rot(tmp_path, b"value-240")
    log = open_log(tmp_path)
    sent, _ = all_events(log, log.origin, SequenceNumber(2))
    assert len(sent) == 140

    feed = Feed(log)
    feed.want(log.origin, SequenceNumber(142), 0)

    (holding,) = [segment for segment in log.segments() if segment.base_offset <= 140 < segment.end_offset]
    assert settled(feed).at == LogPosition(holding.base_offset, FilePosition(0))
    assert holding.base_offset > 0
    _, events = all_events(log, log.origin, SequenceNumber(142))
    assert events == [(RefusalKind.DAMAGED, 143)]


def test_positions_are_reported_in_portions_and_again_only_when_they_move(tmp_path: Path) -> None:
    log = open_log(tmp_path / "a")
    fill(log, feed_module.MAX_TOLD + 5)
    feed = Feed(log)

    first, second = feed.changed_positions(), feed.changed_positions()

    assert len(first) == feed_module.MAX_TOLD
    assert {each.origin for each in (*first, *second)} == set(log.origins())
    assert not feed.has_news()
    produce(log, b"x")
    assert feed.changed_positions() == [log.progress(log.origin)]
    log.close()


def test_a_message_costs_what_moves_whatever_else_the_log_has_met(tmp_path: Path) -> None:
    """Counted in the origins that are looked at, which is what costs."""
    log = open_log(tmp_path / "a")
    fill(log, 3000)
    feed = Feed(log)
    while feed.changed_positions():
        pass
    for number in range(5):
        produce(log, b"%d" % number)
        before = feed._seen
        assert feed.pass_over_everything()
        assert [each.origin for each in log.moved_since(before).positions] == [log.origin]
    log.close()
