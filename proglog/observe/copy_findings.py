"""What is wrong with the number of copies, as facts for :mod:`proglog.observe.health`. Pure."""

from collections.abc import Iterator
from typing import NamedTuple

from proglog.observe.copies_view import expected_holders, gone_words
from proglog.observe.event_findings import Severity
from proglog.observe.words import duration_words, origin_id
from proglog.types import counted
from proglog.wire.model import Copies

FEW_MS = 10_000
"""From when on a single copy in a cluster of several is a finding: before, it is on its way."""


class CopyFact(NamedTuple):
    """The fields of a finding of the same names."""

    key: str
    severity: Severity
    cause: str
    advice: str
    effect: str
    at_risk: str
    since_ms: int


def judge(copies: Copies, passed_ms: int) -> Iterator[CopyFact]:
    """Yield what needs attention, ``passed_ms`` after the picture was taken; to be read after "the cluster"."""
    since = -1 if copies.since_ms is None else copies.since_ms + passed_ms
    if copies.lost:
        where = [each for each in copies.origins if each.lost]
        of = ", ".join(f"{each.node_name or '?'} {origin_id(each.origin)}" for each in where[:3])
        yield CopyFact(
            "copies-lost",
            Severity.CRITICAL,
            f"has {counted(copies.lost, 'record')} on no member{f', of {of}' if of else ''}",
            "A member that left, or a backup of its directory, may have them: start it. `proglog copies` names them.",
            "Consumers get an error that they are gone.",
            f"{counted(copies.lost, 'record')}, for good if no directory holds them.",
            since,
        )
    for each in copies.stranded:
        yield CopyFact(
            f"copies-stranded/{','.join(each.names)[:200]}",
            Severity.CRITICAL,
            f"has {counted(each.records, 'record')} only on {gone_words(each.names, copies)}",
            f"Start {each.names[0] if each.names else 'it'} again: they come back with its directory. Keep that directory.",
            "Until then they cannot be read.",
            f"{counted(each.records, 'record')}, if that directory is lost.",
            since,
        )
    few = sum(each.records for each in copies.counts if each.copies < 2)
    if few and expected_holders(copies) > 1 and since > FEW_MS:
        yield CopyFact(
            "copies-few",
            Severity.WARNING,
            f"has {counted(few, 'record')} on only one member, for {duration_words(since / 1000)}",
            "Members replicate automatically while they reach each other: check what trails, and why.",
            "",
            f"{counted(few, 'record')}, if that member's disk is lost.",
            since,
        )
