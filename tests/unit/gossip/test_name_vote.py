"""Whose a name is that two nodes have: what one of them asks, and what it makes of the answers."""

from collections.abc import Callable
from typing import Any

import pytest

from proglog.gossip.events import NameStanding, NameVoted
from proglog.gossip.framing import StreamReader, push_pull
from proglog.gossip.name_vote import MAX_ROUNDS, MAX_VOTERS, NEWCOMER_SECONDS, ROUND_SECONDS
from proglog.gossip.wire import Fields, SerfType, Type, encode

RIVAL = ("10.9.9.9", 7946)
RIVAL_IP = bytes((10, 9, 9, 9))
OWN_IP = bytes((10, 0, 0, 1))
LOWER, LOWER_IP = ("10.0.0.0", 7946), bytes((10, 0, 0, 0))


def votes(bench: Any) -> list[NameVoted]:
    return [event for event in bench.serf.events() if isinstance(event, NameVoted)]


def standings(bench: Any) -> list[NameStanding]:
    return [vote.standing for vote in votes(bench)]


def questions(bench: Any) -> list[tuple[Fields, tuple[str, int]]]:
    """Questions about a name that were sent since the last call, and to whom."""
    sent = bench.take_sent_serf()
    return [
        (fields, to)
        for type_, fields, to in sent
        if type_ == SerfType.QUERY and fields.text("Name") == "_serf_conflict" and to != ("10.0.0.99", 7946)
    ]


def answer(bench: Any, question: Fields, voter: str, ip: bytes | None, status: int = 1) -> None:
    """Have ``voter`` say that it knows the name at ``ip``; ``None``: not at all."""
    record = {"Name": "me", "Addr": ip, "Port": 7946, "Tags": {}, "Status": status}
    payload = b"\x06\xc0" if ip is None else encode(SerfType.CONFLICT_RESPONSE, record)
    bench.send_serf(
        SerfType.QUERY_RESPONSE,
        LTime=question.uint("LTime"),
        ID=question.uint("ID"),
        From=voter,
        Flags=0,
        Payload=payload,
    )


def contest(bench: Any, *voters: str, ip: bytes = RIVAL_IP) -> Fields:
    """Have a rival claim the name, and return the question that the voters got."""
    for voter in voters:
        bench.alive(voter)
    questions(bench)
    bench.alive("me", 9, Addr=ip)
    bench.run(0)
    asked = questions(bench)
    assert len(asked) == len(voters)
    return asked[0][0] if asked else Fields({})


def rival_answers(bench: Any, *, lives: bool = True) -> None:
    """Let the call to the rival succeed, or fail."""
    (stream,) = [each for each in bench.serf.streams_to_open() if each.address in (RIVAL, LOWER)]
    if lives:
        reply = StreamReader(None).feed(push_pull(join=True, nodes=[], state=b""))
        bench.serf.stream_answered(stream.id, reply, bench.now)
    else:
        bench.serf.stream_failed(stream.id, "refused", bench.now)


def test_the_others_are_asked_in_person_and_their_majority_keeps_the_name(bench: Any) -> None:
    question = contest(bench, "a", "b", "c")
    assert (question.raw("Payload"), question.uint("Flags")) == (b"me", 2)
    assert (bench.serf.name_standing, bench.serf.rival) == ("contested", RIVAL)
    answer(bench, question, "a", OWN_IP)
    answer(bench, question, "b", OWN_IP)
    answer(bench, question, "c", RIVAL_IP)
    rival_answers(bench)
    assert votes(bench) == [
        NameVoted(standing=NameStanding.CONTESTED, rival=RIVAL),
        NameVoted(standing=NameStanding.HELD, rival=RIVAL, matching=2, answers=3),
    ]
    assert (bench.serf.name_standing, bench.serf.rival) == ("held", None)


def test_a_minority_loses_the_name_to_a_rival_that_lives(bench: Any) -> None:
    question = contest(bench, "a", "b", "c")
    for voter, ip in (("a", OWN_IP), ("b", RIVAL_IP), ("c", RIVAL_IP)):
        answer(bench, question, voter, ip)
    assert standings(bench) == ["contested"]  # a rival that is silent takes nothing
    rival_answers(bench)
    assert votes(bench) == [NameVoted(standing=NameStanding.LOST, rival=RIVAL, matching=1, answers=3)]


def test_a_silent_rival_may_be_the_last_life_of_this_node_the_vote_is_repeated(bench: Any) -> None:
    question = contest(bench, "a")
    answer(bench, question, "a", RIVAL_IP)
    rival_answers(bench, lives=False)
    bench.run(ROUND_SECONDS)
    ((again, _),) = questions(bench)
    assert again.uint("ID") != question.uint("ID")
    answer(bench, again, "a", RIVAL_IP, status=4)  # found dead meanwhile
    rival_answers(bench, lives=False)
    bench.run(ROUND_SECONDS)
    ((last, _),) = questions(bench)
    answer(bench, last, "a", OWN_IP)
    rival_answers(bench, lives=False)
    assert standings(bench) == ["contested", "held"]


def test_a_forged_claim_of_nobody_ends_by_itself(bench: Any) -> None:
    contest(bench)
    for _ in range(MAX_ROUNDS):
        rival_answers(bench, lives=False)
        bench.run(ROUND_SECONDS)
    assert standings(bench) == ["contested", "held"]


@pytest.mark.parametrize(("ip", "standing"), [(RIVAL_IP, "held"), (LOWER_IP, "lost")])
def test_between_equals_the_lower_address_wins(bench: Any, ip: bytes, standing: str) -> None:
    question = contest(bench, "a", "b", ip=ip)
    for number in range(MAX_ROUNDS):
        answer(bench, question, "a", OWN_IP)
        answer(bench, question, "b", ip)
        if not number:
            rival_answers(bench)
        bench.run(ROUND_SECONDS)
        question = next((fields for fields, _ in questions(bench)), question)
    if standing == "lost":
        assert standings(bench)[-1] == standing
    else:
        assert bench.serf.name_standing == "contested"  # until the other one, which loses, is gone
        answer(bench, question, "a", OWN_IP)
        bench.run(ROUND_SECONDS)
        assert bench.serf.name_standing == "held"


def test_one_that_has_just_joined_loses_a_tie(make_bench: Callable[..., Any]) -> None:
    newcomer = make_bench(known=True)
    contest(newcomer)
    rival_answers(newcomer)
    assert standings(newcomer) == ["contested", "lost"]
    old = make_bench(known=True)
    old.run(NEWCOMER_SECONDS)
    old.serf.streams_to_open()
    contest(old)
    rival_answers(old)
    assert standings(old) == ["contested"]


def test_a_rival_that_lost_is_not_voted_on_again_and_again(bench: Any) -> None:
    question = contest(bench, "a")
    answer(bench, question, "a", OWN_IP)
    rival_answers(bench)
    bench.alive("me", 12, Addr=RIVAL_IP)
    assert questions(bench) == []
    assert standings(bench) == ["contested", "held"]


def test_a_node_that_asks_for_this_ones_name_is_a_rival(bench: Any) -> None:
    """It may have reached this node only: the others' claims never come here."""
    bench.send_serf(
        SerfType.QUERY,
        LTime=1,
        ID=3,
        Addr=RIVAL_IP,
        Port=7946,
        SourceNode="me",
        Filters=None,
        Flags=2,
        RelayFactor=0,
        Timeout=10**9,
        Name="_serf_conflict",
        Payload=b"me",
    )
    assert (bench.serf.name_standing, bench.serf.rival) == ("contested", RIVAL)


@pytest.mark.parametrize(("name", "answered"), [("a", True), ("b", False)])
def test_a_rival_that_is_no_member_is_answered_in_person_about_its_own_name(
    bench: Any, name: str, answered: bool
) -> None:
    bench.alive("a")
    bench.take_sent_serf()
    fields = {
        "LTime": 1,
        "ID": 3,
        "Addr": RIVAL_IP,
        "Port": 7946,
        "SourceNode": "a",
        "Filters": None,
        "Flags": 2,
        "RelayFactor": 0,
        "Timeout": 10**9,
        "Name": "_serf_conflict",
        "Payload": name.encode(),
    }
    bench.datagram(bytes((Type.USER,)) + encode(SerfType.QUERY, fields), RIVAL)
    replies = [to for type_, _, to in bench.take_sent_serf() if type_ == SerfType.QUERY_RESPONSE]
    assert replies == ([RIVAL] if answered else [])


def test_answers_that_nobody_was_asked_for_count_for_nothing(bench: Any) -> None:
    question = contest(bench, "a")
    answer(bench, question, "stranger", RIVAL_IP)
    answer(bench, Fields(dict(question.content) | {b"ID": question.uint("ID") ^ 1}), "a", RIVAL_IP)
    rival_answers(bench)
    answer(bench, question, "a", OWN_IP)
    answer(bench, question, "a", RIVAL_IP)
    assert standings(bench) == ["contested", "held"]


def test_no_more_than_so_many_are_asked(bench: Any) -> None:
    for number in range(MAX_VOTERS + 10):
        bench.alive(f"n{number}", Addr=bytes((10, 1, 0, number)))
    questions(bench)
    bench.alive("me", 9, Addr=RIVAL_IP)
    bench.run(0)
    assert len(questions(bench)) == MAX_VOTERS


def test_those_who_are_heard_of_after_the_rival_are_asked_too(bench: Any) -> None:
    """A full exchange names members in any order."""
    questions(bench)
    bench.alive("me", 9, Addr=RIVAL_IP)
    bench.alive("a")
    bench.run(0)
    assert [to for _, to in questions(bench)] == [("10.0.0.2", 7946)]
