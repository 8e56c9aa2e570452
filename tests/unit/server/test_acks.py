"""What an answer says of copies: only what can be known."""

import asyncio

from proglog.log.model import Appended
from proglog.replication.progress import Progress
from proglog.server.acks import Acks
from proglog.server.followers import Followers
from proglog.types import Offset, OriginId, SequenceNumber

ORIGIN = OriginId(b"o" * 16)
BATCH = Appended(Offset(3), Offset(4), ORIGIN, SequenceNumber(4), SequenceNumber(5), 100)


async def test_followers_that_report_it_are_counted() -> None:
    followers = Followers()
    acks = Acks(followers, lambda: 3, lambda _: True)
    waiting = asyncio.create_task(acks.wait(BATCH, 3, 60_000))
    for name in "bc":
        followers.report(followers.begin(name), [Progress(ORIGIN, SequenceNumber(5))])

    assert await waiting == 3
    assert await acks.wait(BATCH, 4, 1) == 3


async def test_followers_are_not_believed_about_a_batch_that_is_not_here_any_more() -> None:
    """They were refused it, wrote a gap in its place, and report as if they had it."""
    here = [True]
    followers = Followers()
    acks = Acks(followers, lambda: 3, lambda batch: here[0] or batch != BATCH)
    waiting = asyncio.create_task(acks.wait(BATCH, 3, 60_000))
    here[0] = False
    for name in "bc":
        followers.report(followers.begin(name), [Progress(ORIGIN, SequenceNumber(5))])

    assert await waiting == 1
    assert await acks.wait(BATCH, 4, 1) == 1
