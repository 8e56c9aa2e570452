"""What peers give away of a directory that was rolled back or cloned."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from proglog.errors import PreconditionError
from proglog.log import checkpoint
from proglog.log.config import LogConfig
from proglog.log.files import OsFiles
from proglog.log.log import Log
from proglog.log.model import LocalAppend
from proglog.record import batch, columns
from proglog.record.batch import VerifiedBatch, stamp_local, verify
from proglog.record.seal import is_sealed
from proglog.replication.progress import Progress
from proglog.server import own_origin
from proglog.server.feed import Feed, answer_from
from proglog.server.own_origin import OwnOrigin, parted_from, proves_double
from proglog.types import NodeName, Offset, SequenceNumber


def open_log(path: Path) -> Log:
    return Log.open(path, LogConfig(segment_bytes=4096), node_name=NodeName("a"))


def produce(log: Log, *values: bytes) -> None:
    for value in values:
        data = batch.encode(columns.from_values([value]), count=1, first_timestamp_ms=1, max_timestamp_ms=1)
        log.append([LocalAppend(verify(data))])


def hear(own: OwnOrigin, positions: list[Progress]) -> list[Progress]:
    """What of ``positions``, told by b, does not contradict the log."""
    assert isinstance(own.log, Log)
    return own.hear("b", positions, parted_from(own.unproven(positions), own.log))


def last_batch(log: Log) -> VerifiedBatch:
    """What a peer shows for a claim: the batch at the end of the origin."""
    at = log.seek_sequence(log.origin, SequenceNumber(own_position(log).next_sequence - 1))
    return verify(log.read(at, 1).data)


def own_position(log: Log) -> Progress:
    return log.origins()[log.origin]


@pytest.fixture
def watched(tmp_path: Path) -> tuple[OwnOrigin, list[tuple[str, str]]]:
    """A log with three records, and what was said of its origin."""
    log, said = open_log(tmp_path / "a"), []
    produce(log, b"1", b"2", b"3")
    own = OwnOrigin(log)
    own.on_lost = lambda event, peer, _: said.append((event.name, peer))
    own.on_claim = lambda claim: said.append(("claim", claim.event.name))
    return own, said


@pytest.fixture
def clone(watched: tuple[OwnOrigin, list[tuple[str, str]]], tmp_path: Path) -> Log:
    """The same directory, as a backup brought it back."""
    shutil.copytree(tmp_path / "a", tmp_path / "clone")
    return open_log(tmp_path / "clone")


Watched = tuple[OwnOrigin, list[tuple[str, str]]]


def test_copies_of_this_history_are_no_news(watched: Watched) -> None:
    own, said = watched
    earlier = own_position(own.log)
    produce(own.log, b"4", b"5")

    assert hear(own, [earlier]) == [earlier]
    assert hear(own, [own_position(own.log)]) == [own_position(own.log)]
    assert said == []


def test_a_peer_that_knows_more_shows_that_the_directory_was_rolled_back_and_is_no_copy(
    watched: Watched, clone: Log
) -> None:
    own, said = watched
    produce(clone, b"4")

    assert hear(own, [own_position(clone)]) == []
    assert said == [("claim", "own_origin_ahead")]
    assert proves_double(last_batch(clone), own.log)


@pytest.mark.parametrize("more", [0, 3])
def test_another_history_is_found_at_any_place_and_is_no_copy(watched: Watched, clone: Log, more: int) -> None:
    own, said = watched
    produce(clone, b"other")
    produce(own.log, b"4", *(b"more" for _ in range(more)))

    assert hear(own, [own_position(clone)]) == []
    assert said == [("claim", "replication_forked")]
    assert proves_double(last_batch(clone), own.log)


def test_a_clone_proves_itself_by_its_hello(watched: Watched, clone: Log) -> None:
    own, said = watched
    other = OwnOrigin(clone)

    own.meet("b", clone.origin, other.instance, other.proof_for(own.log.origin, own.instance))

    assert said == [("origin_cloned", "b")]


def test_a_hello_with_this_origin_alone_is_a_claim(watched: Watched, clone: Log) -> None:
    own, said = watched
    other = OwnOrigin(clone)
    earlier_life = other.proof_for(own.log.origin, b"of another life.")

    for proof in (b"", b"x" * 16, earlier_life, own.proof_for(own.log.origin, other.instance)):
        own.meet("b", own.log.origin, other.instance, proof)

    assert said == [("claim", "origin_cloned")] * 4


def test_it_is_lost_once_for_each_origin(watched: Watched, clone: Log) -> None:
    own, said = watched
    other = OwnOrigin(clone)
    for _ in range(3):
        own.meet("b", clone.origin, other.instance, other.proof_for(own.log.origin, own.instance))

    assert len(said) == 1


def test_nobody_without_the_key_can_prove_a_double(watched: Watched, clone: Log) -> None:
    """A peer has all that this origin ever wrote, and knows how batches are made."""
    own, _ = watched
    log = own.log
    assert isinstance(log, Log)
    end = own_position(log)
    unsealed = verify(batch.encode(columns.from_values([b"x"]), count=1, first_timestamp_ms=1, max_timestamp_ms=1))
    for guess in range(200):
        for chain in (end.chain_crc, guess):
            stamped = stamp_local(
                unsealed,
                origin=log.origin,
                base_sequence=SequenceNumber(end.next_sequence + guess % 3),
                previous_chain=chain,
                base_offset=Offset(0),
                append_time_ms=1,
                seal=lambda *_, guess=guess: guess,
            )
            assert not proves_double(verify(stamped + bytes(unsealed.payload)), log)
    assert not proves_double(last_batch(log), log)  # its own word, sent back

    produce(clone, b"4")
    sealed = last_batch(clone)
    for position in (37, 66, 88, 121):  # a seal holds for nothing but its own batch
        changed = bytearray(sealed.data)
        changed[position] ^= 1
        assert not is_sealed(replace(sealed, data=memoryview(changed)), log._state.origin_key)


def test_a_batch_of_an_earlier_release_proves_nothing(watched: Watched, clone: Log) -> None:
    own, _ = watched
    assert isinstance(own.log, Log)
    clone._state.origin_key = b""
    produce(clone, b"4")

    assert last_batch(clone).header.seal == 0
    assert not proves_double(last_batch(clone), own.log)


def test_the_directory_of_an_earlier_release_is_given_a_key_and_keeps_its_origin(tmp_path: Path) -> None:
    log = open_log(tmp_path / "a")
    origin = log.origin
    log.close()
    content = checkpoint.load(OsFiles(), tmp_path / "a" / "origin")
    assert content is not None
    key = content.pop("key")
    checkpoint.save(OsFiles(), tmp_path / "a" / "origin", content)

    log = open_log(tmp_path / "a")
    produce(log, b"1")

    assert log.origin == origin
    assert log._state.origin_key not in (b"", bytes.fromhex(key))
    assert last_batch(log).header.seal
    assert log.sealed(last_batch(log))


def test_a_connection_to_oneself_is_refused_and_is_no_clone(watched: Watched) -> None:
    own, said = watched

    with pytest.raises(PreconditionError, match="leads back to this node"):
        own.meet("b", own.log.origin, own.instance)

    assert said == []


def test_what_retention_removed_is_not_held_against_anybody(tmp_path: Path) -> None:
    log = Log.open(tmp_path / "a", LogConfig(segment_bytes=4096, retention_bytes=4096), node_name=NodeName("a"))
    early = own_position(log)
    produce(log, *(b"%0100d" % number for number in range(200)))
    log.retain()
    own, said = OwnOrigin(log), []
    own.on_lost = lambda *what: said.append(what)

    assert own_position(log).floor_sequence > early.next_sequence
    assert hear(own, [early]) == [early]
    assert said == []


def test_places_that_were_just_sent_are_not_looked_up_again(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    own, said = watched
    assert isinstance(own.log, Log)
    feed = Feed(own.log)
    feed.want(own.log.origin, SequenceNumber(1), 0)
    question = feed.question()
    assert question is not None
    feed.settle(answer_from(question, own.log))
    read = own.log.read(feed.at, 1 << 20)
    feed.take(feed.at, read.data, read.next)
    own.note_sent(feed.sent)
    reported = own_position(own.log)
    produce(own.log, b"4")
    monkeypatch.setattr(own_origin, "chain_agrees_at", lambda *_: pytest.fail("it was looked up"))

    assert hear(own, [reported]) == [reported]
    assert said == []


def test_what_is_remembered_of_the_places_sent_is_bounded(watched: Watched) -> None:
    own, _ = watched
    for number in range(5000):
        own.note_sent({own.log.origin: (SequenceNumber(number), number)})

    assert len(own._known) == own_origin.MAX_KNOWN
