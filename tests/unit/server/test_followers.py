"""Counting copies by what followers report."""

import asyncio

import pytest

from proglog.errors import DeadlineError
from proglog.replication.progress import Progress
from proglog.server.followers import Followers
from proglog.types import OriginId, SequenceNumber

ORIGIN = OriginId(b"o" * 16)


def up_to(next_sequence: int, floor: int = 1) -> list[Progress]:
    return [Progress(ORIGIN, SequenceNumber(next_sequence), floor_sequence=SequenceNumber(floor))]


async def test_waiting_ends_when_enough_followers_hold_it() -> None:
    followers = Followers()
    waiting = asyncio.create_task(followers.wait_replicated(ORIGIN, SequenceNumber(5), copies=2, within=5))
    followers.report(followers.begin("b"), up_to(9))
    c = followers.begin("c")
    followers.report(c, up_to(4))
    await asyncio.sleep(0)
    assert not waiting.done()

    followers.report(c, up_to(5))

    await waiting


async def test_waiting_ends_in_time_and_says_how_many_there_are() -> None:
    followers = Followers()
    followers.report(followers.begin("b"), up_to(5))

    with pytest.raises(DeadlineError, match="1 of 2"):
        await followers.wait_replicated(ORIGIN, SequenceNumber(5), copies=2, within=0.01)


async def test_copies_are_hurried_while_somebody_waits_for_them() -> None:
    followers = Followers()
    waiting = [
        asyncio.create_task(followers.wait_replicated(ORIGIN, SequenceNumber(end), 1, within=5)) for end in (5, 9)
    ]
    assert not followers.hurried.is_set()
    await asyncio.sleep(0)
    assert followers.hurried.is_set()

    followers.report(followers.begin("b"), up_to(5))
    await waiting[0]
    assert followers.hurried.is_set()
    followers.report(followers.begin("b"), up_to(9))
    await waiting[1]

    assert not followers.hurried.is_set()


def test_a_follower_that_begins_anew_counts_only_for_what_it_reports_now() -> None:
    followers = Followers()
    followers.report(followers.begin("b"), up_to(9))
    assert followers.copies(ORIGIN, SequenceNumber(5)) == 1

    followers.begin("b")  # its directory may have been wiped

    assert followers.copies(ORIGIN, SequenceNumber(5)) == 0


def test_what_a_followers_retention_removed_does_not_count() -> None:
    followers = Followers()
    followers.report(followers.begin("b"), up_to(9, floor=7))

    assert followers.copies(ORIGIN, SequenceNumber(5)) == 0


def test_what_a_follower_lacks_in_the_middle_does_not_count() -> None:
    followers = Followers()
    followers.report(followers.begin("b"), [Progress(ORIGIN, SequenceNumber(9), gaps=((3, 5),), damaged=((6, 7),))])

    assert [followers.copies(ORIGIN, SequenceNumber(end)) for end in range(2, 10)] == [1, 1, 0, 0, 1, 0, 1, 1]


def test_late_words_of_a_stream_that_was_replaced_do_not_count() -> None:
    followers = Followers()
    old, new = followers.begin("b"), followers.begin("b")

    followers.report(old, up_to(9))
    assert followers.copies(ORIGIN, SequenceNumber(5)) == 0
    followers.report(new, up_to(9))
    assert followers.copies(ORIGIN, SequenceNumber(5)) == 1


def test_of_two_streams_of_one_name_the_earlier_counts_again_when_the_later_ends() -> None:
    """Two nodes had one name until one of them lost the vote: the other's copies still count."""
    followers = Followers()
    with followers.following("c") as first:
        followers.report(first, up_to(5))
        with followers.following("c") as second:
            followers.report(second, up_to(2))
            followers.report(first, up_to(9))
            assert followers.position_of("c", ORIGIN) == up_to(2)[0], "the later one counts"
        assert (followers.connected("c"), followers.position_of("c", ORIGIN)) == (True, up_to(9)[0])
        followers.report(first, up_to(12))
        assert followers.copies(ORIGIN, SequenceNumber(12)) == 1
    assert not followers.connected("c")
    followers.report(first, up_to(20))
    assert followers.position_of("c", ORIGIN) == up_to(12)[0], "it has ended"
