"""What would be on no living member if an agent left now. Pure."""

from typing import NamedTuple

from proglog.observe.copies import Claim
from proglog.observe.copies_view import rows
from proglog.wire.model import ClusterSnapshot, CopyHolder, MemberStatus


class OnlyHere(NamedTuple):
    """Records that only one agent can serve now."""

    records: int
    origins: int
    """They are of so many, as far as the agent lists them."""
    unlisted: int
    """Origins that some member does not hold whole, and of which the agent does not say more."""

    @property
    def nothing(self) -> bool:
        """Whether the agent may leave."""
        return not (self.records or self.unlisted)


def only_here(snapshot: ClusterSnapshot) -> OnlyHere:
    """Return what the agent that answered holds, and no other member that is alive."""
    holders = snapshot.copies.holders
    others = [number for number, each in enumerate(holders) if not each.local and _serves(each)]
    (here,) = [number for number, each in enumerate(holders) if each.local] or (None,)
    if here is None:
        return OnlyHere(0, 0, 1)
    records = origins = 0
    for row in rows(snapshot):
        lonely = sum(
            each.records
            for each in row.stretches
            if each.claims[here] is Claim.HELD and all(each.claims[other] is not Claim.HELD for other in others)
        )
        records, origins = records + lonely, origins + bool(lonely)
    copies = snapshot.copies
    alone = 0 if others else max(0, copies.origin_count - len(rows(snapshot)))
    return OnlyHere(records, origins, max(0, copies.origin_count - copies.whole_count - len(copies.origins)) + alone)


def _serves(holder: CopyHolder) -> bool:
    return holder.status is MemberStatus.ALIVE and holder.word_ms == 0
