"""Warns before retention removes what a member has not copied yet: afterwards, that copy has a gap for good."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from proglog.addr import RPC_ADDR_TAG
from proglog.gossip.member import Member, Status
from proglog.log.config import LogConfig
from proglog.observe.words import bytes_words, duration_words
from proglog.replication.lag import bytes_behind, records_behind
from proglog.replication.progress import Progress
from proglog.server.commit_log import LogView
from proglog.server.followers import Followers
from proglog.telemetry import events
from proglog.telemetry.emit import Emit
from proglog.types import counted

NEAR = 0.8
"""Share of what retention keeps, or of its age, from which on what a member lacks is about to go."""


@dataclass(slots=True)
class RetentionWatch:
    """Compares what members lack of this node's own records with what retention keeps."""

    name: str
    """Of this node."""
    log: LogView
    config: LogConfig
    stored_bytes: Callable[[], int]
    followers: Followers
    members: Callable[[], Iterable[Member]]
    emit: Emit
    monotonic: Callable[[], float] = time.monotonic
    """Seconds; the clock of the members' ``since``."""
    _near: set[str] = field(default_factory=set)

    def look(self) -> None:
        """Report whom retention is about to overtake, and who is out of its reach again."""
        own = self.log.origins().get(self.log.origin)
        if own is None or (self.config.retention_bytes is None and self.config.retention_age is None):
            return
        near = {member.name: words for member in self.members() if (words := self._danger(member, own))}
        for name in near.keys() - self._near:
            self.emit(events.RETENTION_NEAR, name, near[name])
        for name in self._near - near.keys():
            self.emit(events.RETENTION_CLEAR, name)
        self._near = set(near)

    def _danger(self, member: Member, own: Progress) -> str:
        """Return what a member lacks that is about to go, in words; empty: nothing."""
        held = self.followers.position_of(member.name, own.origin)
        away = member.status is Status.FAILED
        if member.name == self.name or held is None or not (away or member.status is Status.ALIVE):
            return ""
        lacks = records_behind(held, own)
        if not (lacks and own.bytes and member.tags.get(RPC_ADDR_TAG)):
            return ""
        lacked = f"{counted(lacks, 'record')}, {bytes_words(bytes_behind(held, own))}"
        limit, age = self.config.retention_bytes, self.config.retention_age
        # The log also holds other origins: scale the missing part of this one to its share of the log.
        spread = self.stored_bytes() * bytes_behind(held, own) / own.bytes
        if limit is not None and spread >= NEAR * limit:
            return f"{lacked}; {bytes_words(limit)} are kept"
        gone = self.monotonic() - member.since
        if age is not None and away and gone >= NEAR * age:
            return f"{lacked}; it failed {duration_words(gone)} ago, and {duration_words(age)} are kept"
        return ""
