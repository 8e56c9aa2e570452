"""At its start, a node that held records learns what its peers know of it before it writes again.

A directory that was restored or copied does not know that it was: its next sequence is taken already. Peers know, and
say so in their first words; what was written by then would be a second history under one name. So producers of a node
that held records wait at its start until it has met every member it knows, or for two seconds.
"""

import asyncio
from collections.abc import Callable

from proglog.addr import rpc_addr_of
from proglog.agent.membership import Membership
from proglog.agent.replicator import Replicator
from proglog.agent.writer import LogWriter
from proglog.gossip.member import Status
from proglog.wire.model import PeerState

TIMEOUT = 2.0
"""Seconds: a peer that does not answer in time is met later. A lost peer must not stop a node from working."""
_LOOK_INTERVAL = 0.02
PEER_CHECK = "peer check"
"""Why producers are held."""
NAME_CHECK = "name check"
"""Why producers of a joining node are held: its name is not confirmed yet."""


async def release_when_met(writer: LogWriter, membership: Membership, replicator: Replicator) -> bool:
    """Release producers once the others have confirmed this node's name and, if it held records, reported theirs.

    Return whether all did in time.
    """
    try:
        async with asyncio.timeout(TIMEOUT):
            await membership.wait_named()
            writer.release_producers(NAME_CHECK)
            if writer.is_held(PEER_CHECK):
                await _until(lambda: _all_met(membership, replicator))
    except TimeoutError:
        return not writer.is_held(PEER_CHECK)  # an unconfirmed name is a finding of its own
    finally:
        writer.release_producers(NAME_CHECK)
        writer.release_producers(PEER_CHECK)
    return True


def _all_met(membership: Membership, replicator: Replicator) -> bool:
    """Return whether there is a follower, a stream from each is open, and no new origin is being begun."""
    alive = [member for member in membership.members() if member.status is Status.ALIVE and rpc_addr_of(member.tags)]
    streaming = sum(peer.state is PeerState.STREAMING for peer in replicator.peers())
    return len(alive) > 1 and streaming >= len(alive) - 1 and not replicator.origin_change.underway


async def _until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110 - two seconds at most, once in a process's life
        await asyncio.sleep(_LOOK_INTERVAL)
