"""How many copies there are of every record, from what members say; and the same read again from a snapshot."""

from random import Random

import pytest

from proglog.observe import copy_findings
from proglog.observe.copies import FIRST_RECORD, MAX_LISTED, Claim, Word, picture
from proglog.observe.copies_view import stretches_of, verdict
from proglog.observe.event_findings import Severity
from proglog.replication.progress import Progress
from proglog.replication.ranges import MAX_RANGES, Ranges, joined
from proglog.types import OriginId, SequenceNumber
from proglog.wire.model import MemberStatus

ORIGIN = OriginId(b"o" * 16)
ALIVE, FAILED, LEFT = MemberStatus.ALIVE, MemberStatus.FAILED, MemberStatus.LEFT


def held(following: int, floor: int = 1, gaps: Ranges = (), damaged: Ranges = ()) -> Progress:
    return Progress(
        ORIGIN,
        SequenceNumber(following),
        floor_sequence=SequenceNumber(floor),
        node_name="n1",
        gaps=gaps,
        damaged=damaged,
    )


def word(name: str, progress: Progress | None = None, status: MemberStatus = ALIVE, *, heard: bool = True) -> Word:
    if not heard:
        return Word(name=name, status=status, word_ms=None)
    age = 0 if status is ALIVE else 12_000
    return Word(name=name, status=status, word_ms=age, origins={} if progress is None else {ORIGIN: progress})


def said(*words: Word, settled: int | None = None) -> str:
    return verdict(picture(words, {} if settled is None else {ORIGIN: settled}))


def test_what_all_hold_is_on_all() -> None:
    assert said(word("n1", held(102)), word("n2", held(102)), word("n3", held(102))) == "every record on 3 of 3"


def test_the_newest_records_are_in_flight_and_missing_nowhere() -> None:
    seen = picture([word("n1", held(1002)), word("n2", held(502))], {ORIGIN: 502})

    assert verdict(seen) == "every record on 2 of 2"
    assert seen.in_flight == 500


def test_what_one_lacks_that_is_older_is_on_the_others_only() -> None:
    assert said(word("n1", held(102)), word("n2", held(102)), word("n3", held(52))) == "every record on at least 2 of 3"


def test_what_only_a_dead_member_holds_names_it_and_since_when() -> None:
    words = [word("n1", held(102)), word("n2", held(102)), word("n3", held(202), FAILED)]

    assert said(*words) == "100 only on n3, which failed 12 s ago; every other record on 2 of 3"


def test_what_is_damaged_here_and_a_gap_there_is_lost() -> None:
    seen = picture([word("g1", held(102, damaged=((40, 60),))), word("g2", held(102, gaps=((40, 60),)))], {})

    assert verdict(seen) == "20 on none; every other record on 2 of 2"
    assert seen.lost == 20
    row = stretches_of(seen.origins[0], seen.holders)
    assert [(each.start, each.end, each.claims) for each in row] == [
        (2, 40, (Claim.HELD, Claim.HELD)),
        (40, 60, (Claim.DAMAGED, Claim.LOST)),
        (60, 102, (Claim.HELD, Claim.HELD)),
    ]


def test_what_retention_removed_everywhere_is_no_loss() -> None:
    seen = picture([word("g1", held(102, floor=50)), word("g2", held(102, gaps=((1, 50),)))], {})

    assert seen.lost == 0
    assert verdict(seen) == "every record on 2 of 2"


def test_what_retention_removed_at_some_is_counted_apart() -> None:
    seen = picture([word("n1", held(102, floor=50)), word("n2", held(102))], {})

    assert (seen.trimmed, seen.lost) == (48, 0)
    assert verdict(seen) == "every record on 2 of 2; retention has removed 48 from some"


def test_what_retention_removed_while_a_member_was_dead_is_missed_by_nobody() -> None:
    words = [word("n1", held(202, floor=50)), word("n2", held(202, floor=50)), word("n3", held(102), FAILED)]

    assert said(*words) == "every record on 2 of 3; retention has removed 48 from some"


def test_damage_in_front_of_what_retention_took_elsewhere_is_a_loss() -> None:
    seen = picture([word("n1", held(102, floor=50)), word("n2", held(102, damaged=((20, 30),)))], {})

    assert seen.lost == 10


def test_nothing_is_lost_while_a_member_has_never_said_what_it_holds() -> None:
    words = [word("n1", held(102, damaged=((40, 60),))), word("n2", heard=False)]

    assert said(*words).startswith("20 unknown: a member has never said what it holds; every other record on 1 of 2")


def test_more_gaps_than_can_be_listed_are_unknown_not_lost() -> None:
    gaps = tuple((10 * at, 10 * at + 1) for at in range(1, MAX_RANGES + 1))
    seen = picture([word("n1", held(5000, gaps=gaps)), word("n2", held(5000, gaps=gaps))], {})

    assert (seen.lost, seen.unknown) == (0, MAX_RANGES)


def test_a_member_that_left_keeps_its_column_and_is_expected_to_hold_nothing() -> None:
    seen = picture([word("n1", held(102)), word("n2", held(102)), word("n3", held(52), LEFT)], {})

    assert verdict(seen) == "every record on 2 of 2"
    assert [each.name for each in seen.holders] == ["n1", "n2", "n3"]
    assert [(each.holder, each.next_sequence) for each in seen.origins[0].holdings] == [(2, 52)]


def test_of_thousands_of_origins_the_worst_are_listed_and_all_are_counted() -> None:
    origins = [OriginId(number.to_bytes(16, "big")) for number in range(20_000)]
    whole = {each: Progress(each, SequenceNumber(12)) for each in origins}
    behind = {**whole, **{each: Progress(each, SequenceNumber(7)) for each in origins[:1_000]}}
    lossy = origins[7_000]
    whole[lossy] = behind[lossy] = Progress(lossy, SequenceNumber(12), gaps=((3, 5),))
    seen = picture([Word(name="n1", status=ALIVE, origins=whole), Word(name="n2", status=ALIVE, origins=behind)], {})

    assert (seen.origin_count, seen.whole_count, seen.lost) == (20_000, 18_999, 2)
    assert len(seen.origins) == MAX_LISTED
    assert seen.origins[0].origin == lossy
    assert {each.copies: each.records for each in seen.counts} == {1: 5_000, 2: 194_998}


@pytest.mark.parametrize("seed", range(100))
def test_every_record_is_counted_once_and_as_a_look_at_it_alone_would(seed: int) -> None:
    random = Random(seed)
    words = [
        word(
            f"n{number}",
            None if random.random() < 0.1 else some(random),
            random.choice([ALIVE, ALIVE, FAILED, LEFT]),
            heard=random.random() >= 0.1,
        )
        for number in range(random.randint(1, 5))
    ]
    end = max((each.origins[ORIGIN].next_sequence for each in words if each.origins), default=1)
    settled = random.randint(1, end)
    seen = picture(words, {ORIGIN: settled})

    copies: dict[int, int] = {}
    trimmed = lost = unknown = stranded = flying = 0
    for sequence in range(FIRST_RECORD, end):
        holding = [each for each in words if each.origins and each.origins[ORIGIN].holds(sequence)]
        available = sum(each.alive for each in holding)
        removed = [each for each in words if each.origins and sequence < each.origins[ORIGIN].floor_sequence]
        hidden = [
            each
            for each in words
            if each.origins
            and each not in removed
            and sequence < each.origins[ORIGIN].next_sequence
            and any(start <= sequence < stop for start, stop in each.origins[ORIGIN].damaged)
        ]
        if sequence >= settled:
            flying += 1
        elif available and removed:
            trimmed += 1
        elif available:
            copies[available] = copies.get(available, 0) + 1
        elif holding and any(each.alive for each in removed) and not hidden:
            trimmed += 1
        elif holding:
            stranded += 1
        elif any(each.word_ms is None for each in words):
            unknown += 1
        elif not removed or hidden:
            lost += 1
    assert {each.copies: each.records for each in seen.counts} == copies
    # What is unknown may be trimmed: nothing is claimed of it twice.
    assert (seen.trimmed, seen.lost, seen.in_flight) == (trimmed, lost, flying)
    assert sum(each.records for each in seen.stranded) == stranded
    assert seen.unknown == unknown


def some(random: Random) -> Progress:
    following = random.randint(1, 60)
    cuts = [sorted(random.sample(range(1, 61), 2)) for _ in range(3)]
    ranges = [joined([(start, end)]) for start, end in cuts]
    return held(following, random.randint(1, following), gaps=ranges[0], damaged=joined(ranges[1] + ranges[2]))


def test_findings_follow_from_the_picture() -> None:
    stranded = picture([word("n1", held(52)), word("n2", held(102), FAILED)], {})
    lost = picture([word("n1", held(102, gaps=((40, 60),))), word("n2", held(102, gaps=((40, 60),)))], {})

    assert [(each.key, each.severity) for each in copy_findings.judge(stranded, 0)] == [
        ("copies-stranded/n2", Severity.CRITICAL)
    ]
    (finding,) = copy_findings.judge(lost, 0)
    assert finding.key == "copies-lost"
    assert finding.cause == f"has 20 records on no member, of n1 {ORIGIN.hex()[:8]}"
