"""The simulated cluster and its adversary.

A run takes random steps: produce, send, deliver, append, lose power, kill, restart, wipe, back up and roll back, clone,
damage the medium, cut, hang, duplicate, swap, retain. Then everything is healed but one hanging stream, and fair rounds
must bring all logs together. What must hold is in :mod:`proglog.testing.simulation.invariants`.

Membership is not simulated here: to replication it is only the opening and closing of streams, and the adversary opens
and closes them in more ways than any membership would. The gossip core has a simulation of its own,
``tests/simulation/test_gossip.py``; both run on seeds, neither on a clock.
"""

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import TypeVar, cast

from proglog.errors import DataLossError, ForkedOriginError, OffsetOutOfRangeError
from proglog.log.log import Log
from proglog.log.model import LogCursor, LogRead
from proglog.record import scan
from proglog.replication.planner import Unwant, Want
from proglog.replication.positions import Position
from proglog.replication.repair import SequenceRange
from proglog.rpc.commit_log import CommitLog
from proglog.rpc.feed import Feed, positions_in
from proglog.rpc.range_reader import read_range
from proglog.rpc.replication_stream import Hello
from proglog.testing.simulation.disk import PowerLossError
from proglog.testing.simulation.invariants import (
    Truth,
    batch_with,
    batches_in,
    check_level,
    check_logs,
    records_in,
)
from proglog.testing.simulation.node import DATA_DIR, Node
from proglog.testing.simulation.rules import Rules, Violation
from proglog.testing.simulation.stream import MAX_IN_FLIGHT, Report, Response, Stream
from proglog.types import OriginId, Sequence

READ_BYTES = 2048
MAX_RECORDS = 5_000
"""More than any run produces, times its nodes: logs that get there are growing without end."""
FAIR_ROUNDS = 1500
"""Of 0.2 s: time for gaps, each decided after half a minute, to pass from node to node."""
SETTLING_ROUNDS = 20
STEP_SECONDS = 0.05
CHECK_STEPS = 100
"""Between two looks at all logs."""
MAX_PENDING = 8
"""Records of one node whose acks are waited for."""

Item = TypeVar("Item")


class World:
    """One run. ``World(seed).run()`` raises :class:`Violation`, or returns."""

    def __init__(
        self,
        seed: int,
        rules: Rules | None = None,
        *,
        nodes: int = 3,
        steps: int = 400,
        retention_bytes: int | None = None,
        tampering: float = 1.0,
        damage: float = 1.0,
    ) -> None:
        """Set up nodes, running and unconnected.

        Args:
            seed: Everything random comes from it.
            rules: Which rules hold.
            nodes: At most eight.
            steps: Of the adversary.
            retention_bytes: Of each log; ``None``: for ever.
            tampering: How much directories are rolled back and cloned; 0: not at all.
            damage: How much media are damaged.
        """
        self.random = Random(seed)
        self.rules = rules or Rules()
        self.steps = steps
        self.retention_bytes = retention_bytes
        self.time = 0.0
        self.truth = Truth()
        self.nodes = {
            name: Node(name, self.random, self.rules, lambda: self.time, retention_bytes) for name in "abcdefgh"[:nodes]
        }
        self.streams: dict[tuple[str, str], Stream] = {}
        self.cut: set[tuple[str, str]] = set()
        self.backups: dict[str, tuple[dict[Path, bytes], OriginId]] = {}
        self.pending: list[tuple[str, OriginId, int, int]] = []
        """Records that wait for a second copy: node, origin, next sequence, checksum."""
        self.acknowledged = 0
        self.refilled = 0
        self.cursor: dict[OriginId, int] = {}
        self.passed_over: dict[OriginId, int] = {}
        self.consumed: list[tuple[OriginId, int]] = []
        self._healed_at = float("inf")
        self._actions = [
            (20, self._produce),
            (12, self._connect),
            (20, self._pump),
            (40, self._deliver),
            (14, self._commit),
            (8, self._tick),
            (2, self._consume),
            (1.5, self._crash),
            (3, self._restart),
            (1.0, self._cut_or_mend),
            (2, self._retain),
            (0.4, self._wipe),
            (0.6, self._hang),
            (5, self._meddle),
            (1.0 * tampering, self._back_up),
            (0.4 * tampering, self._roll_back),
            (0.3 * tampering, self._clone),
            (3 * damage, self._damage),
            (2 * damage, self._repair),
        ]
        for node in self.nodes.values():
            self._start(node)

    def run(self) -> None:
        """Take random steps, heal, and see the logs come together."""
        for number in range(self.steps):
            self.time += self.random.expovariate(1 / STEP_SECONDS)
            self._step()
            if number % CHECK_STEPS == 0:
                self.check()
        self.check()
        self._heal()
        for number in range(FAIR_ROUNDS):
            if number % 10 == 0 and self._is_level():
                break
            self._fair_round()
        check_level(list(self.nodes.values()), self.truth, self.check(), retention=self.retention_bytes is not None)
        self._check_quiet()
        self.check()
        self._check_consumer()

    def quiet_times(self, records: int) -> None:
        """Nothing goes wrong, and every node produces: instead of :meth:`run`."""
        self._healed_at = self.time
        for _ in range(records):
            for node in self.nodes.values():
                self._produce(node)
            self._fair_round()
        for _ in range(SETTLING_ROUNDS):
            self._fair_round()
        check_level(list(self.nodes.values()), self.truth, self.check(), retention=False)

    def check(self) -> set[OriginId]:
        """Check all logs as they are; return the origins with two histories."""
        return check_logs(list(self.nodes.values()), self.truth)

    # The adversary

    def _step(self) -> None:
        name = self.random.choice(list(self.nodes))
        weights = [weight for weight, _ in self._actions]
        ((_, action),) = self.random.choices(self._actions, weights)
        node = self.nodes[name]
        try:
            action(node)
        except PowerLossError:
            self._die(node, power_loss=True)

    def _produce(self, node: Node) -> None:
        log = node.log
        if log is None or log.end_offset >= MAX_RECORDS:
            return
        before = batch_with(log, log.origin, log.origins()[log.origin].next_sequence - 1)
        outcome = node.produce(self.random.randint(1, 5))
        made = batch_with(log, log.origin, outcome.base_sequence)
        assert made is not None
        parent = None if before is None or before.header.is_gap else before.payload_crc
        self.truth.produced(log.origin, outcome.base_sequence, made.payload_crc, parent)
        self.pending.append((node.name, log.origin, outcome.next_sequence, made.payload_crc))
        self.pending = self.pending[-MAX_PENDING * len(self.nodes) :]

    def _connect(self, node: Node) -> None:
        """Open the streams that ``node`` lacks."""
        for source in self.nodes.values():
            key = (node.name, source.name)
            if source is node or key in self.streams or node.log is None or source.log is None:
                continue
            if key in self.cut or key[::-1] in self.cut:
                continue
            source.positions()
            stream = self.streams[key] = Stream(node.name, source.name, Feed(source.log))
            hello = Hello(source.name, source.log.origin, source.own_origin.instance)
            stream.responses.append(Response(positions=self._positions(stream.feed), hello=hello))
            stream.requests.append(Hello(node.name, node.log.origin, node.own_origin.instance))
            stream.requests.append(Report(tuple(node.report())))

    def _pump(self, node: Node) -> None:
        """Let ``node`` send down the streams it serves."""
        if node.log is None:
            return
        for stream in self._streams_of(node.name, source=True):
            if not stream.muted and len(stream.responses) < MAX_IN_FLIGHT and (self.rules.push or stream.asked):
                self._send(node, node.log, stream)
                stream.asked = False

    def _send(self, node: Node, log: Log, stream: Stream) -> None:
        feed = stream.feed
        data = b""
        if not feed.pass_over_everything():
            cursor = feed.cursor
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

    def _positions(self, feed: Feed) -> tuple[Position, ...]:
        """Return what is news to a follower."""
        changed = feed.changed_positions()
        return tuple(changed if self.rules.chains else (replace(position, chain_crc=0) for position in changed))

    def _deliver(self, node: Node) -> None:
        """Let one message reach ``node`` on each of its streams, in both roles."""
        for stream in self._streams_of(node.name, source=False):
            if stream.responses and (stream.source, node.name) not in self.cut:
                self._receive(node, stream, stream.responses.popleft())
        for stream in self._streams_of(node.name, source=True):
            if stream.requests and (stream.follower, node.name) not in self.cut:
                self._serve(node, stream, stream.requests.popleft())
        if node.lost:
            self._begin_origin(node)

    def _serve(self, node: Node, stream: Stream, request: Hello | Want | Unwant | Report) -> None:
        """Let ``node`` hear its follower."""
        match request:
            case Hello(node_name, origin, instance):
                node.own_origin.meet(node_name, origin, instance)
                node.followers.begin(node_name)
            case Report(positions):
                node.followers.report(stream.follower, node.own_origin.hear(stream.follower, positions))
                self._count_copies(node)
            case Want(_, origin, next_sequence, chain_crc):
                stream.feed.want(origin, next_sequence, chain_crc if self.rules.chains else 0)
                stream.asked = True
            case Unwant(_, origin):
                stream.feed.unwant(origin)

    def _count_copies(self, node: Node) -> None:
        """Acknowledge what has a second copy: it must be on another disk, as it was produced."""
        waiting = []
        for name, origin, following, payload_crc in self.pending:
            if name != node.name or not node.followers.copies(origin, Sequence(following)):
                waiting.append((name, origin, following, payload_crc))
                continue
            self.acknowledged += 1
            if not any(self._is_copied(other, origin, following, payload_crc) for other in self.nodes.values()):
                raise Violation(f"I5 {name} counted a copy of {origin.hex()[:6]} {following - 1} that is nowhere")
        self.pending = waiting

    def _is_copied(self, other: Node, origin: OriginId, following: int, payload_crc: int) -> bool:
        """Return whether another disk than the origin's has the record; a disk whose node is down, if it told so."""
        if other.log is None:
            return other.told.get(origin, 0) >= following
        if other.log.origin == origin:
            return False
        copy = batch_with(other.log, origin, following - 1)
        if copy is None:
            state = other.log.origins().get(origin)
            return origin in self.truth.damaged or (state is not None and state.floor_sequence >= following)
        return copy.payload_crc == payload_crc or copy.header.is_gap  # given up half a minute later, and told

    def _begin_origin(self, node: Node) -> None:
        """Go on under a new origin; who was served under the old one has to say hello again."""
        assert node.log is not None
        before = node.log.origin
        node.begin_origin()
        self.truth.makers.setdefault(node.log.origin, set()).add(node.name)
        self._carry_out(node)
        if node.log.origin != before:
            for stream in self._streams_of(node.name, source=True):
                self._break((stream.follower, node.name))

    def _receive(self, node: Node, stream: Stream, response: Response) -> None:
        assert node.log is not None
        if response.hello is not None:
            node.own_origin.meet(stream.source, response.hello.origin, response.hello.instance)
            node.planner.stream_opened(stream.source, response.hello.origin, self.time)
        node.planner.advanced(positions_in(node.log), self.time)
        node.own_origin.hear(stream.source, response.positions)
        node.planner.positions_received(stream.source, response.positions, self.time)
        node.receive(stream.source, response.batches)
        for event in response.events:
            node.planner.refused_by(stream.source, event, self.time)
        self._carry_out(node)
        if not self.rules.durable_reports:
            self._report(node)

    def _commit(self, node: Node) -> None:
        if node.log is not None and node.queue and node.log.end_offset < MAX_RECORDS:
            if self._adversary_is_awake and self.random.random() < 0.05:
                node.disk.fail_after = self.random.randint(0, 3)
            node.commit()
            node.disk.fail_after = None
            self._report(node)
            self._carry_out(node)

    def _report(self, node: Node) -> None:
        report = Report(tuple(node.report()))
        for stream in self._streams_of(node.name, source=False):
            stream.requests.append(report)

    def _tick(self, node: Node) -> None:
        if node.log is None:
            return
        deadline = node.planner.next_deadline(self.time)
        if deadline is not None and deadline <= self.time:
            node.planner.handle_timer(self.time)
            after = node.planner.next_deadline(self.time)
            if after is not None and after <= self.time:
                raise Violation(f"{node.name}: its timer at {after} would fire for ever")
            self._carry_out(node)

    def _carry_out(self, node: Node) -> None:
        assert node.log is not None
        held = node.log.origins()
        for command in node.planner.commands():
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

    def _crash(self, node: Node) -> None:
        if node.log is not None:
            self._die(node, power_loss=self.random.random() < 0.6)

    def _restart(self, node: Node) -> None:
        if node.log is None:
            if self._adversary_is_awake and self.random.random() < 0.1:
                node.disk.fail_after = self.random.randint(0, 12)
            self._start(node)
            node.disk.fail_after = None

    def _wipe(self, node: Node) -> None:
        if node.log is None:
            node.wipe()
            self.truth.seen.pop(node.name, None)

    def _back_up(self, node: Node) -> None:
        if node.log is not None:
            self.backups[node.name] = node.disk.image(), node.log.origin

    def _roll_back(self, node: Node) -> None:
        """Bring a backup back: what was written since may have been copied."""
        if node.log is None and node.name in self.backups:
            self._put_disk(node, *self.backups[node.name])

    def _clone(self, node: Node) -> None:
        """Start a node on a copy of another one's directory."""
        others = [other for other in self.nodes.values() if other is not node and other.log is not None]
        if node.log is None and others:
            other = self.random.choice(others)
            assert other.log is not None
            self._put_disk(node, other.disk.image(), other.log.origin)

    def _put_disk(self, node: Node, image: dict[Path, bytes], origin: OriginId) -> None:
        node.put_back(image)
        self.truth.tampered.add(origin)
        self.truth.seen.pop(node.name, None)
        self.truth.makers.setdefault(origin, set()).add(node.name)

    def _damage(self, node: Node) -> None:
        """Rot a byte of a sealed segment on the medium of a node that is down."""
        stores = [name for name in node.disk.names(DATA_DIR) if name.endswith(".log")][:-1]
        if node.log is None and stores:
            path = DATA_DIR / self.random.choice(stores)
            size = node.disk.open(path).size()
            if size:
                node.disk.flip(path, self.random.randrange(size))
                node.rotten = True
                self.truth.damaged |= self.truth.makers.keys()
                self.truth.seen.pop(node.name, None)

    def _repair(self, node: Node) -> None:
        """Fetch what damage took, as the agent's repairer does."""
        log = node.log
        if log is None or not log.damaged():
            return
        missing = [SequenceRange(lost.origin, lost.start, lost.end) for lost in log.missing()]
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

    def _cut_or_mend(self, node: Node) -> None:
        """Cut or mend one direction. A stream over a cut breaks after a while, or lives on if mended before."""
        other = self.random.choice([each for each in self.nodes if each != node.name])
        self.cut ^= {(node.name, other)}
        if (node.name, other) in self.cut and self.random.random() < 0.5:
            for key in ((node.name, other), (other, node.name)):
                self._break(key)

    def _retain(self, node: Node) -> None:
        log = node.log
        if log is None:
            return
        before = log.segments()
        log.retain()
        after = log.segments()
        removed = before[: len(before) - len(after)]
        if after != before[len(removed) :] or any(segment.active for segment in removed):
            raise Violation(f"I15 retention of {node.name} took other segments than the oldest sealed ones")
        limit = self.retention_bytes
        if removed and (limit is None or removed[-1].bytes + sum(segment.bytes for segment in after) <= limit):
            raise Violation(f"I15 retention of {node.name} took more than it had to")

    def _hang(self, node: Node) -> None:
        for stream in self._streams_of(node.name, source=True):
            stream.muted = self.random.random() < 0.5

    def _meddle(self, node: Node) -> None:
        """Send a message twice, or swap two: a broken proxy, or a source with a bug."""
        for stream in self._streams_of(node.name, source=False):
            queue = stream.responses
            if len(queue) >= 2 and queue[0].hello is None:
                if self.random.random() < 0.5:
                    queue.append(queue[0])
                else:
                    queue[0], queue[1] = queue[1], queue[0]

    def _start(self, node: Node) -> None:
        node.start()
        assert node.log is not None
        self.truth.makers.setdefault(node.log.origin, set()).add(node.name)

    def _die(self, node: Node, *, power_loss: bool) -> None:
        node.stop(power_loss=power_loss)
        self.pending = [each for each in self.pending if each[0] != node.name]  # whoever waited was cut off
        for key in [key for key in self.streams if node.name in key]:
            self._break(key)

    def _break(self, key: tuple[str, str]) -> None:
        stream = self.streams.pop(key, None)
        follower = self.nodes[key[0]]
        if stream is not None and follower.log is not None:
            follower.planner.stream_closed(key[1], self.time)
            self._carry_out(follower)

    def _streams_of(self, name: str, *, source: bool) -> list[Stream]:
        return [stream for key, stream in self.streams.items() if key[source] == name]

    @property
    def _adversary_is_awake(self) -> bool:
        return self.time < self._healed_at

    # Healing

    def _heal(self) -> None:
        """Mend and restart everything; one stream keeps hanging, as one may for ever."""
        self._healed_at = self.time
        self.cut.clear()
        for key in list(self.streams):
            self._break(key)
        for node in self.nodes.values():
            self._restart(node)
        for node in self.nodes.values():
            self._connect(node)
        if len(self.nodes) > 2:
            self.random.choice(list(self.streams.values())).muted = True

    def _fair_round(self) -> None:
        self.time += 0.2
        for node in self.nodes.values():
            for action in (self._connect, self._pump, self._deliver, self._deliver, self._commit, self._tick):
                action(node)
            self._repair(node)

    def _is_level(self) -> bool:
        """Whether there is nothing left to do."""
        try:
            check_level(list(self.nodes.values()), self.truth, self.check(), retention=self.retention_bytes is not None)
        except Violation:
            return False
        return not any(node.queue for node in self.nodes.values())

    def _check_quiet(self) -> None:
        for _ in range(SETTLING_ROUNDS):
            self._fair_round()
        ends = [log.end_offset for log in self._logs()]
        for _ in range(SETTLING_ROUNDS):
            self._fair_round()
        if ends != [log.end_offset for log in self._logs()]:
            raise Violation("I8 the logs grow though nobody produces")

    def _consume(self, node: Node) -> None:
        """A consumer reads on from its position vector, at whichever node."""
        if node.log is None:
            return
        for origin, sequence in records_in(node.log):
            expected = self.cursor.get(origin, 1)
            if sequence > expected and (self.retention_bytes is not None or origin in self.truth.damaged):
                self.passed_over[origin] = sequence  # by retention, by damage, or by a gap that they led to
            if sequence >= expected:
                self.cursor[origin] = sequence + 1
                self.consumed.append((origin, sequence))

    def _check_consumer(self) -> None:
        (node, *_) = self.nodes.values()
        self._consume(node)
        held = {
            record
            for record in records_in(self._logs()[0])
            if record[1] >= self.passed_over.get(record[0], 1) and record[0] not in self.truth.tampered
        }
        if len(set(self.consumed)) != len(self.consumed):
            raise Violation("I12 a consumer got a record twice")
        if held - set(self.consumed):
            raise Violation("I12 a consumer missed a record")

    def crossings(self) -> float:
        """Return how often a record came in at a node, for each that it keeps of others: 1.0 is once."""
        copies = sum(
            batch.header.record_count
            for log in self._logs()
            for batch in batches_in(log)
            if batch.header.origin != log.origin
        )
        return sum(node.received for node in self.nodes.values()) / max(1, copies)

    def _logs(self) -> list[Log]:
        return [node.log for node in self.nodes.values() if node.log is not None]


class _Readable:
    """A log as the services see it, for a reader that never waits."""

    records_served = 0

    def __init__(self, log: Log) -> None:
        self.log = log

    async def read(self, cursor: LogCursor, max_bytes: int) -> LogRead:
        return self.log.read(cursor, max_bytes)


def _drained(items: AsyncIterator[Item]) -> Iterator[Item]:
    """Yield what an asynchronous iterator that never waits has to give."""
    while True:
        try:
            anext(items).__await__().send(None)
        except StopIteration as found:
            yield found.value
        except StopAsyncIteration:
            return
