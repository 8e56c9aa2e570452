"""A simulated cluster: nodes, the streams between them, and the steps that each can take.

Nothing happens by itself: :mod:`kit.simulation.world` chooses the node and its step.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from random import Random
from typing import TypeVar, cast

from kit.simulation.copies import Copies
from kit.simulation.invariants import Truth, batch_with, batches_in, check_level, check_logs
from kit.simulation.membership import Membership
from kit.simulation.node import Node
from kit.simulation.rules import Rules, Violation
from kit.simulation.stream import MAX_IN_FLIGHT, Report, Response, Stream
from proglog.errors import DataLossError, ForkedOriginError, OffsetOutOfRangeError
from proglog.log.log import Log
from proglog.log.model import LogPosition, LogRead
from proglog.record import scan
from proglog.replication.plan import Reopen, Unwant, Want
from proglog.replication.progress import Progress
from proglog.replication.repair import SequenceRange
from proglog.server.commit_log import CommitLog
from proglog.server.feed import Feed, answer_from
from proglog.server.range_reader import read_range
from proglog.types import OriginId
from proglog.wire.replication import Hello

READ_BYTES = 2048
MAX_RECORDS = 5_000
"""More than any run produces, times its nodes: a log this long is growing without bound."""

Item = TypeVar("Item")


class Cluster:
    """Nodes, running and unconnected at first."""

    def __init__(
        self, random: Random, rules: Rules, membership: Membership, *, nodes: int, retention_bytes: int | None
    ) -> None:
        """Start ``nodes`` nodes, at most eight, whose logs keep ``retention_bytes``; ``None``: all."""
        self.random = random
        self.rules = rules
        self.membership = membership
        self.retention_bytes = retention_bytes
        self.time = 0.0
        self.truth = Truth()
        names = "abcdefgh"[:nodes]
        self.nodes = {
            name: Node(
                name,
                random,
                rules,
                lambda: self.time,
                retention_bytes,
                {other: "a member" for other in names if other != name and rules.absent_are_waited_for},
            )
            for name in names
        }
        self.copies = Copies(self.nodes.values(), self.truth)
        self.streams: dict[tuple[str, str], Stream] = {}
        self.cut: set[tuple[str, str]] = set()
        """Directions without traffic."""
        self.refilled = 0
        """Damaged ranges that are whole again."""
        for node in self.nodes.values():
            self.start(node)

    def pass_time(self, seconds: float) -> None:
        """Let time pass; end streams from nodes no longer seen, as the replicator does on a leave event."""
        self.time += seconds
        self.membership.advance(self.time, self.cut)
        for follower, source in list(self.streams):
            if not self.membership.sees(follower, source):
                self.break_stream((follower, source))

    # A single node

    def start(self, node: Node) -> None:
        """Start a node that is down."""
        node.start()
        assert node.log is not None
        self.truth.makers.setdefault(node.log.origin, set()).add(node.name)
        self.membership.started(node.name)

    def die(self, node: Node, *, power_loss: bool) -> None:
        """Stop ``node`` abruptly, and its streams with it; a power loss also drops unsynced data."""
        node.stop(power_loss=power_loss)
        self.membership.died(node.name)
        self.copies.forget(node)
        for key in [key for key in self.streams if node.name in key]:
            self.break_stream(key)

    def produce(self, node: Node) -> None:
        """Append a few records at ``node``, and wait for a second copy of them."""
        log = node.log
        if log is None or log.end_offset >= MAX_RECORDS:
            return
        before = batch_with(log, log.origin, log.origins()[log.origin].next_sequence - 1)
        outcome = node.produce(self.random.randint(1, 5))
        made = batch_with(log, log.origin, outcome.base_sequence)
        assert made is not None
        parent = None if before is None or before.header.is_gap else before.payload_crc
        self.truth.produced(log.origin, outcome.base_sequence, made.payload_crc, parent)
        self.copies.wait_for(node, outcome, made.payload_crc)

    def retain(self, node: Node) -> None:
        """Apply retention at ``node`` (invariant I15)."""
        log = node.log
        if log is None:
            return
        before = log.segments()
        log.retain()
        after = log.segments()
        removed = before[: len(before) - len(after)]
        if after != before[len(removed) :] or any(segment.active for segment in removed):
            raise Violation(f"I15 retention of {node.name} took other segments than the oldest sealed ones")
        limit = node.retention_bytes
        if removed and (limit is None or removed[-1].bytes + sum(segment.bytes for segment in after) <= limit):
            raise Violation(f"I15 retention of {node.name} took more than it had to")

    def repair(self, node: Node) -> None:
        """Refetch damaged records, as the agent's repairer does."""
        log = node.log
        if log is None or not log.may_lack:
            return
        gaps = () if self.rules.gaps_heal else log.gaps()
        missing = [SequenceRange(*lost) for lost in log.missing() if lost not in gaps]
        reached = [key[1] for key in self.streams if key[0] == node.name]
        peers = {name: node.planner.positions_of(name) for name in reached}
        attempt = node.repairs.next_attempt(missing, peers, self.time)
        if attempt is None:
            return
        source = self.nodes[attempt.peer].log
        assert source is not None
        try:
            for data in _drained(read_range(cast("CommitLog", _Readable(source)), *attempt.part)):
                self.refilled += len(log.refill(list(scan.batches(data))))
        except ForkedOriginError as exc:
            node.planner.forked(attempt.peer, attempt.part.origin, self.time, str(exc))
            self._carry_out(node)
        if attempt.missing in {SequenceRange(lost.origin, lost.start, lost.end) for lost in log.missing()}:
            node.repairs.failed(attempt, self.time)

    # Streams

    def connect(self, node: Node) -> None:
        """Open the streams that ``node`` lacks, to every node that it sees."""
        for source in self.nodes.values():
            key = (node.name, source.name)
            if source is node or key in self.streams or node.log is None or source.log is None:
                continue
            if key in self.cut or key[::-1] in self.cut or not self.membership.sees(node.name, source.name):
                continue
            source.positions()
            stream = self.streams[key] = Stream(node.name, source.name, Feed(source.log))
            proof = source.own_origin.proof_for(node.log.origin, node.own_origin.instance)
            hello = Hello(source.name, source.log.origin, source.own_origin.instance, proof)
            stream.responses.append(Response(positions=self._positions(stream.feed), hello=hello))
            stream.requests.append(Hello(node.name, node.log.origin, node.own_origin.instance))
            stream.requests.append(Report(tuple(node.report())))

    def pump(self, node: Node) -> None:
        """Let ``node`` send on the streams that it serves."""
        if node.log is None:
            return
        for stream in self.streams_of(node.name, source=True):
            if not stream.muted and len(stream.responses) < MAX_IN_FLIGHT and (self.rules.push or stream.asked):
                self._send(node, node.log, stream)
                stream.asked = False

    def _send(self, node: Node, log: Log, stream: Stream) -> None:
        feed = stream.feed
        question = feed.question()
        if question is not None:
            feed.settle(answer_from(question, log))
        data = b""
        if not feed.pass_over_everything():
            cursor = feed.at
            try:
                read = log.read(cursor, READ_BYTES)
            except (DataLossError, OffsetOutOfRangeError) as exc:
                feed.skip_unreadable(exc)
            else:
                data = feed.take(cursor, read.data, read.next)
        if not self.rules.relay:
            data = b"".join(
                data[at : at + header.batch_bytes] for at, header in scan.headers(data) if header.origin == log.origin
            )
        node.positions()
        response = Response(data, self._positions(feed), tuple(feed.events()))
        if response != Response():
            stream.responses.append(response)

    def _positions(self, feed: Feed) -> tuple[Progress, ...]:
        """Return the batches that are new to a follower."""
        changed = feed.changed_positions()
        return tuple(changed if self.rules.chains else (replace(position, chain_crc=0) for position in changed))

    def deliver(self, node: Node) -> None:
        """Deliver one message to ``node`` on each of its streams, in both roles."""
        for stream in self.streams_of(node.name, source=False):
            if stream.responses and (stream.source, node.name) not in self.cut:
                self._receive(node, stream, stream.responses.popleft())
        for stream in self.streams_of(node.name, source=True):
            if stream.requests and (stream.follower, node.name) not in self.cut:
                self._serve(node, stream, stream.requests.popleft())
        claims = list(node.claims)
        node.claims.clear()
        for claim in claims:
            node.examine(claim, self.nodes[claim.peer].show(claim.origin, claim.sequence))
        if node.lost:
            self._begin_origin(node)

    def _serve(self, node: Node, stream: Stream, request: Hello | Want | Unwant | Report) -> None:
        """Deliver its follower's message to ``node``."""
        match request:
            case Hello(node_name, origin, instance):
                node.own_origin.meet(node_name, origin, instance)
                following = node.followers.begin(node_name)
                if node.log is not None and origin != node.log.origin:  # a double of its directory is no copy
                    stream.following = following
            case Report(positions):
                if stream.following is not None:
                    node.followers.report(stream.following, node.hear(stream.follower, positions))
                self.copies.count(node)
            case Want(_, origin, next_sequence, chain_crc):
                stream.feed.want(origin, next_sequence, chain_crc if self.rules.chains else 0)
                stream.asked = True
            case Unwant(_, origin):
                stream.feed.unwant(origin)

    def _begin_origin(self, node: Node) -> None:
        """Switch to a new origin; followers of the old one have to say hello again."""
        assert node.log is not None
        before = node.log.origin
        node.begin_origin()
        self.truth.makers.setdefault(node.log.origin, set()).add(node.name)
        self._carry_out(node)
        if node.log.origin != before:
            for stream in self.streams_of(node.name, source=True):
                self.break_stream((stream.follower, node.name))

    def _receive(self, node: Node, stream: Stream, response: Response) -> None:
        assert node.log is not None
        if response.hello is not None:
            node.own_origin.meet(stream.source, response.hello.origin, response.hello.instance, response.hello.kinship)
            node.planner.stream_opened(stream.source, response.hello.origin, self.time)
        node.planner.advanced(node.log.origins().values(), self.time)
        node.hear(stream.source, response.positions)
        node.planner.positions_received(stream.source, response.positions, self.time)
        node.receive(stream.source, response.batches)
        for event in response.events:
            node.planner.refused_by(stream.source, event, self.time)
        self._carry_out(node)
        if not self.rules.durable_reports:
            self._report(node)

    def can_commit(self, node: Node) -> bool:
        """Return whether there is anything to write; stop writing to a log that grows without bound."""
        return node.log is not None and bool(node.queue) and node.log.end_offset < MAX_RECORDS

    def commit(self, node: Node) -> None:
        """Let ``node`` append what it received, and report it."""
        if self.can_commit(node):
            node.commit()
            self._report(node)
            self._carry_out(node)

    def _report(self, node: Node) -> None:
        report = Report(tuple(node.report()))
        for stream in self.streams_of(node.name, source=False):
            stream.requests.append(report)

    def tick(self, node: Node) -> None:
        """Let the timer of ``node``'s planner fire, if it is due."""
        if node.log is None:
            return
        deadline = node.planner.next_deadline()
        if deadline is not None and deadline <= self.time:
            node.planner.handle_timer(self.time)
            after = node.planner.next_deadline()
            if after is not None and after <= self.time:
                raise Violation(f"{node.name}: its timer at {after} would fire endlessly")
            self._carry_out(node)

    def _carry_out(self, node: Node) -> None:
        assert node.log is not None
        held = node.log.origins()
        for command in node.planner.commands():
            if isinstance(command, Reopen):
                self.break_stream((node.name, command.peer))
                continue
            stream = self.streams.get((node.name, command.peer))
            if isinstance(command, Want) and command.chain_crc:
                state = held.get(command.origin)
                if state is None or command.next_sequence > state.next_sequence:
                    raise Violation(f"I9 {node.name} asks for {command.next_sequence} and does not have what is before")
            if stream is not None:
                stream.requests.append(command)
        for notice in node.planner.notices():
            node.notices.append((notice.kind, notice.origin))
            if notice.kind == "replication_forked" and notice.origin not in self.truth.tampered:
                raise Violation(f"I3 {node.name}: {notice.kind} from {notice.peer}: {notice.detail}")

    def break_stream(self, key: tuple[str, str]) -> None:
        """End the stream from the second to the first of ``key``, if there is one."""
        stream = self.streams.pop(key, None)
        follower = self.nodes[key[0]]
        if stream is not None and follower.log is not None:
            follower.planner.stream_closed(key[1], self.time)
            self._carry_out(follower)

    def streams_of(self, name: str, *, source: bool) -> list[Stream]:
        """Return the streams that a node serves, or follows."""
        return [stream for key, stream in self.streams.items() if key[source] == name]

    # All nodes

    def check(self) -> set[OriginId]:
        """Check the current state of all logs; return the origins with two histories.

        Raises:
            Violation: An invariant does not hold.
        """
        return check_logs(list(self.nodes.values()), self.truth)

    def check_level(self) -> None:
        """Check that all logs hold the same records, apart from permitted differences.

        Raises:
            Violation: They do not.
        """
        check_level(list(self.nodes.values()), self.truth, self.check())

    def logs(self) -> list[Log]:
        """Return the logs of the nodes that run."""
        return [node.log for node in self.nodes.values() if node.log is not None]

    def crossings(self) -> float:
        """Return how often a node received each record that it keeps of others, on average: 1.0 is once."""
        copies = sum(
            batch.header.record_count
            for log in self.logs()
            for batch in batches_in(log)
            if batch.header.origin != log.origin
        )
        return sum(node.received for node in self.nodes.values()) / max(1, copies)


class _Readable:
    """A log as the services see it, for a reader that never waits."""

    records_served = 0

    def __init__(self, log: Log) -> None:
        self._log = log
        self.progress = log.progress
        self.sound_batches = log.sound_batches
        self.after_damage = log.after_damage

    async def read(self, cursor: LogPosition, max_bytes: int) -> LogRead:
        return self._log.read(cursor, max_bytes)

    async def query(self, look: Callable[[Log], Item]) -> Item:
        return look(self._log)


def _drained(items: AsyncIterator[Item]) -> Iterator[Item]:
    """Yield the items of an asynchronous iterator that never waits, but may yield to the event loop."""
    while True:
        step = anext(items).__await__()
        try:
            while True:
                step.send(None)
        except StopIteration as found:
            yield found.value
        except StopAsyncIteration:
            return
