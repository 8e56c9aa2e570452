"""Queries asked: who is asked, whose answers count, and when it is over."""

from typing import Any

import pytest

from proglog.errors import InvalidRequestError, NotFoundError, OverloadedError
from proglog.gossip.asking import MAX_OPEN, GossipQuery, QueryAnswer
from proglog.gossip.events import QueryReceived
from proglog.gossip.wire import SerfType
from proglog.testing.network import VirtualNetwork


class Heard:
    def __init__(self) -> None:
        self.answers: list[QueryAnswer] = []
        self.over = 0

    def answered(self, answer: QueryAnswer) -> None:
        self.answers.append(answer)

    def finished(self) -> None:
        self.over += 1

    @property
    def acks(self) -> list[str]:
        return sorted(answer.source for answer in self.answers if answer.payload is None)

    @property
    def replies(self) -> dict[str, bytes]:
        return {answer.source: answer.payload for answer in self.answers if answer.payload is not None}


def cluster(seed: int = 1, loss: float = 0.0) -> VirtualNetwork:
    network = VirtualNetwork(seed=seed)
    for number, name in enumerate(("a", "b", "c", "d", "e")):
        network.add(name, {"role": "db" if number % 2 else "web"})
    network.join_all()
    network.loss = loss
    return network


def ask(network: VirtualNetwork, question: GossipQuery, *, of: str = "a") -> Heard:
    heard = Heard()
    node = network.nodes[of]
    node.serf.ask(question, network.now, heard.answered, heard.finished)
    network._pump(node)
    return heard


def answer_all(network: VirtualNetwork) -> None:
    """Let every member answer each query with its name."""
    for name, node in network.nodes.items():
        for _, event in node.events:
            if isinstance(event, QueryReceived):
                node.serf.respond(event.query_id, name.encode(), network.now)
        node.events.clear()
        network._pump(node)


def test_everybody_acknowledges_and_answers_this_node_included() -> None:
    network = cluster()
    heard = ask(network, GossipQuery(name="who", payload=b"?", ack=True))
    network.run(1.5)
    answer_all(network)
    network.run(0.5)
    assert heard.acks == list("abcde")
    assert heard.replies == {name: name.encode() for name in "abcde"}
    assert heard.over == 0
    network.run(3.3)
    assert heard.over == 1


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        (GossipQuery(name="q", nodes=("b", "e"), ack=True), ["b", "e"]),
        (GossipQuery(name="q", tags={"role": "^d"}, ack=True), ["b", "d"]),
        (GossipQuery(name="q", tags={"role": ".*e.*"}, nodes=("a", "b"), ack=True), ["a"]),
        (GossipQuery(name="q", tags={"nothing": "^$"}, ack=True), list("abcde")),
    ],
)
def test_filters_choose_who_is_asked(question: GossipQuery, expected: list[str]) -> None:
    network = cluster()
    heard = ask(network, question)
    network.run(3.0)
    assert heard.acks == expected


def test_detours_bring_answers_through_loss_and_each_counts_once() -> None:
    plain = relayed = 0
    for seed in range(6):
        for detours in (0, 3):
            network = cluster(seed, loss=0.3)
            heard = ask(network, GossipQuery(name="q", ack=True, detours=detours, timeout=5.0))
            network.run(5.1)
            assert len(heard.acks) == len(set(heard.acks))
            plain, relayed = plain + len(heard.acks) * (not detours), relayed + len(heard.acks) * bool(detours)
    assert relayed > plain


def test_a_query_that_was_ended_early_is_not_called_back() -> None:
    network = cluster()
    heard = Heard()
    end = network.nodes["a"].serf.ask(GossipQuery(name="q", ack=True), network.now, heard.answered, heard.finished)
    end()
    network.run(6.0)
    assert heard.over == 0
    assert heard.acks == ["a"]  # before it was ended: by itself


def test_a_query_is_answered_once_and_in_time() -> None:
    network = cluster()
    ask(network, GossipQuery(name="q", timeout=2.0))
    network.run(1.0)
    node = network.nodes["b"]
    (event,) = [event for _, event in node.events if isinstance(event, QueryReceived)]
    assert (event.name, event.source) == ("q", "a")
    with pytest.raises(InvalidRequestError, match=r"1,024|1024"):
        node.serf.respond(event.query_id, bytes(1100), network.now)
    node.serf.respond(event.query_id, b"x", network.now)
    with pytest.raises(NotFoundError):
        node.serf.respond(event.query_id, b"x", network.now)
    late = network.nodes["c"]
    network.run(2.0)
    (event,) = [event for _, event in late.events if isinstance(event, QueryReceived)]
    with pytest.raises(NotFoundError):
        late.serf.respond(event.query_id, b"x", network.now)


@pytest.mark.parametrize(
    "question",
    [
        GossipQuery(name=""),
        GossipQuery(name="q", payload=bytes(1025)),
        GossipQuery(name="q", nodes=("x" * 600, "y" * 600)),
        GossipQuery(name="q", tags={"role": "(?=x)"}),
        GossipQuery(name="q", timeout=-1.0),
        GossipQuery(name="q", timeout=1e9),
        GossipQuery(name="q", detours=256),
    ],
)
def test_a_query_that_cannot_be_is_refused(bench: Any, question: GossipQuery) -> None:
    heard = Heard()
    with pytest.raises(InvalidRequestError):
        bench.serf.ask(question, bench.now, heard.answered, heard.finished)


def test_the_queries_under_way_are_bounded(bench: Any) -> None:
    heard = Heard()
    for _ in range(MAX_OPEN):
        bench.serf.ask(GossipQuery(name="q"), bench.now, heard.answered, heard.finished)
    with pytest.raises(OverloadedError):
        bench.serf.ask(GossipQuery(name="q"), bench.now, heard.answered, heard.finished)
    bench.run(10.0)
    assert heard.over == MAX_OPEN
    bench.serf.ask(GossipQuery(name="q"), bench.now, heard.answered, heard.finished)


def test_an_answer_of_nobody_known_or_to_nothing_asked_counts_for_nothing(bench: Any) -> None:
    heard = Heard()
    bench.alive("a")
    bench.take_sent_serf()
    bench.serf.ask(GossipQuery(name="q", ack=True), bench.now, heard.answered, heard.finished)
    bench.run(0.3)
    (query, *_) = [fields for kind, fields, _ in bench.take_sent_serf() if kind == SerfType.QUERY]
    same = {"LTime": query.ltime("LTime"), "ID": query.uint("ID"), "Flags": 1}
    bench.send_serf(SerfType.QUERY_RESPONSE, **same, From="stranger")
    bench.send_serf(SerfType.QUERY_RESPONSE, **(same | {"ID": 5}), From="a")
    assert heard.acks == ["me"]
    bench.send_serf(SerfType.QUERY_RESPONSE, **same, From="a")
    bench.send_serf(SerfType.QUERY_RESPONSE, **same, From="a")
    assert heard.acks == ["a", "me"]


def test_the_default_timeout_is_that_of_a_stock_agent() -> None:
    assert cluster().nodes["a"].serf._asking.default_timeout() == pytest.approx(3.2)
