"""The rows of the panel of replication, by peer and by origin."""

from proglog.observe.columns import Row
from proglog.observe.lag import of_node
from proglog.observe.spans import Locale
from proglog.observe.words import bytes_words
from proglog.tui.panels.replication.columns import ORIGIN_COLUMNS, PEER_COLUMNS, OriginCopy, PeerFacts
from proglog.tui.panels.replication.lag_cells import IN_FLIGHT_MS
from proglog.tui.state import DashState
from proglog.types import counted
from proglog.wire.model import ClusterSnapshot, PeerOrigin, PeerState, PeerStatus


def peer_rows(state: DashState, locale: Locale) -> list[Row[PeerFacts]]:
    """Return a row for each peer."""
    return [
        Row(
            key=peer.name,
            item=PeerFacts(peer=peer, frames=state.shown_frames),
            columns=PEER_COLUMNS,
            locale=locale,
            source=peer,
        )
        for peer in (state.shown.peers if state.shown else ())
    ]


def origin_rows(state: DashState, locale: Locale) -> list[Row[OriginCopy]]:
    """Return a row for each origin of each peer."""
    peers = state.shown.peers if state.shown else ()
    return [origin_row(peer, origin, locale) for peer in peers for origin in peer.origins]


def origin_row(peer: PeerStatus, origin: PeerOrigin, locale: Locale) -> Row[OriginCopy]:
    """Return the row of one origin on both ends of a stream."""
    return Row(
        key=f"{peer.name}/{origin.origin.hex()}",
        item=OriginCopy(peer=peer, origin=origin),
        columns=ORIGIN_COLUMNS,
        locale=locale,
        name=origin.origin.hex(),
        source=origin,
    )


def summary(snapshot: ClusterSnapshot) -> str:
    """Return the panel's subtitle: how many streams run, and how much is missing here that is not on its way."""
    peers = snapshot.peers
    if not peers:
        return "no peers"
    streaming = sum(peer.state is PeerState.STREAMING for peer in peers)
    behind = of_node(snapshot)
    if behind.age_ms < IN_FLIGHT_MS:
        return f"{streaming} of {len(peers)} streaming, all in step"
    missing = f"{counted(behind.records, 'record')}, {bytes_words(behind.size_bytes)}"
    return f"{streaming} of {len(peers)} streaming, {missing} missing here"
