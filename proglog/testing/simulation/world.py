"""The simulated cluster, its adversary, and the invariants that no seed may break.

A run takes random steps: produce, send, deliver, append, lose power, kill, restart, wipe, cut, hang, duplicate, swap.
Then everything is healed but one hanging stream, and fair rounds must bring all logs together.

======  =================================================================
I1, I2  in a log each origin is there once, in order, without holes
I3, I4  the same identity is the same batch everywhere, made by its origin
I5, I6  what was told to anybody is still there after a crash
I7      after healing all logs hold the same records
I8      and then grow no more
I12     a consumer with a position vector, moving between nodes, misses and repeats nothing
I13     a skipped range was reported
I14     nothing is imported into the own origin
======  =================================================================
"""

from collections.abc import Iterator
from random import Random

from proglog.errors import OffsetOutOfRangeError
from proglog.log.log import Log
from proglog.log.model import LogCursor
from proglog.record import scan
from proglog.record.batch import VerifiedBatch
from proglog.replication.planner import Want
from proglog.rpc.feed import Feed, positions_in
from proglog.testing.simulation.disk import PowerLossError
from proglog.testing.simulation.node import Node, Rules, Violation
from proglog.testing.simulation.stream import MAX_IN_FLIGHT, Response, Stream
from proglog.types import OriginId, Position

READ_BYTES = 2048
MAX_RECORDS = 5_000
"""More than any run produces, times its nodes: logs that get there are growing without end."""
FAIR_ROUNDS = 1500
"""Of 0.2 s: time for gaps, each decided after half a minute, to pass from node to node."""
SETTLING_ROUNDS = 20
STEP_SECONDS = 0.05


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
    ) -> None:
        """Set up nodes, running and unconnected."""
        self.random = Random(seed)
        self.rules = rules or Rules()
        self.steps = steps
        self.retention_bytes = retention_bytes
        self._healed_at = float("inf")
        self.time = 0.0
        self.nodes = {
            name: Node(name, self.random, self.rules, lambda: self.time, retention_bytes) for name in "abcdefgh"[:nodes]
        }
        self.streams: dict[tuple[str, str], Stream] = {}
        self.cut: set[tuple[str, str]] = set()
        self.identities: dict[tuple[OriginId, int], tuple[int, int]] = {}
        self.makers: dict[OriginId, str] = {}
        self.cursor: dict[OriginId, int] = {}
        self.passed_over: dict[OriginId, int] = {}
        self.consumed: list[tuple[OriginId, int]] = []
        for node in self.nodes.values():
            self._start(node)

    def run(self) -> None:
        """Take random steps, heal, and see the logs come together."""
        for _ in range(self.steps):
            self.time += self.random.expovariate(1 / STEP_SECONDS)
            self._step()
        self.check()
        self._heal()
        for _ in range(FAIR_ROUNDS):
            if self._is_level():
                break
            self._fair_round()
        self._check_level()
        self._check_quiet()
        self.check()
        self._check_consumer()

    # The adversary

    def _step(self) -> None:
        name = self.random.choice(list(self.nodes))
        actions = [
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
        ]
        (action,) = self.random.choices([each for _, each in actions], [weight for weight, _ in actions])
        node = self.nodes[name]
        try:
            action(node)
        except PowerLossError:
            self._die(node, power_loss=True)

    def _produce(self, node: Node) -> None:
        if node.log is not None and node.log.end_offset < MAX_RECORDS:
            node.produce(self.random.randint(1, 5))

    def _connect(self, node: Node) -> None:
        """Open the streams that ``node`` lacks."""
        for source in self.nodes.values():
            key = (node.name, source.name)
            if source is node or key in self.streams or node.log is None or source.log is None:
                continue
            if key in self.cut or key[::-1] in self.cut:
                continue
            source.tell()
            stream = self.streams[key] = Stream(node.name, source.name, Feed(source.log))
            stream.responses.append(Response(positions=tuple(stream.feed.changed_positions()), hello=True))

    def _pump(self, node: Node) -> None:
        """Let ``node`` send down the streams it serves."""
        if node.log is None:
            return
        for stream in self._streams_of(node.name, source=True):
            if not stream.muted and len(stream.responses) < MAX_IN_FLIGHT:
                self._send(node, node.log, stream)

    def _send(self, node: Node, log: Log, stream: Stream) -> None:
        feed = stream.feed
        data = b""
        if not feed.pass_over_everything():
            cursor = feed.cursor
            try:
                read = log.read(cursor, READ_BYTES)
            except OffsetOutOfRangeError as exc:
                feed.skip_unreadable(exc)
            else:
                data = feed.take(cursor, read.data, read.next)
        if not self.rules.relay:
            data = b"".join(
                data[at : at + header.batch_bytes] for at, header in scan.headers(data) if header.origin == log.origin
            )
        node.tell()
        response = Response(data, tuple(feed.changed_positions()), tuple(feed.events()))
        if response != Response():
            stream.responses.append(response)

    def _deliver(self, node: Node) -> None:
        """Let one message reach ``node`` on each of its streams, in both roles."""
        for stream in self._streams_of(node.name, source=False):
            if stream.responses and (stream.source, node.name) not in self.cut:
                self._receive(node, stream, stream.responses.popleft())
        for stream in self._streams_of(node.name, source=True):
            if stream.requests and (stream.follower, node.name) not in self.cut:
                command = stream.requests.popleft()
                if isinstance(command, Want):
                    stream.feed.want(command.origin, command.next_sequence, command.chain_crc)
                else:
                    stream.feed.unwant(command.origin)

    def _receive(self, node: Node, stream: Stream, response: Response) -> None:
        assert node.log is not None
        source = self.nodes[stream.source]
        if response.hello and source.log is not None:
            node.planner.stream_opened(stream.source, source.log.origin, self.time)
        node.planner.advanced(positions_in(node.log), self.time)
        node.planner.positions_received(stream.source, response.positions, self.time)
        node.receive(stream.source, response.batches)
        for event in response.events:
            node.planner.refused_by(stream.source, event, self.time)
        self._carry_out(node)

    def _commit(self, node: Node) -> None:
        if node.log is not None and node.queue and node.log.end_offset < MAX_RECORDS:
            if self._adversary_is_awake and self.random.random() < 0.05:
                node.disk.fail_after = self.random.randint(0, 3)
            node.commit()
            node.disk.fail_after = None
            node.tell()
            self._carry_out(node)

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
        for command in node.planner.commands():
            stream = self.streams.get((node.name, command.peer))
            if stream is not None:
                stream.requests.append(command)
        for notice in node.planner.notices():
            node.notices.append(notice.kind)
            if notice.kind in ("own_origin_ahead", "origin_cloned", "replication_forked"):
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

    def _cut_or_mend(self, node: Node) -> None:
        """Cut or mend one direction. A stream over a cut breaks after a while, or lives on if mended before."""
        other = self.random.choice([each for each in self.nodes if each != node.name])
        self.cut ^= {(node.name, other)}
        if (node.name, other) in self.cut and self.random.random() < 0.5:
            for key in ((node.name, other), (other, node.name)):
                self._break(key)

    def _retain(self, node: Node) -> None:
        if node.log is not None:
            node.log.retain()

    def _hang(self, node: Node) -> None:
        for stream in self._streams_of(node.name, source=True):
            stream.muted = self.random.random() < 0.5

    def _meddle(self, node: Node) -> None:
        """Send a message twice, or swap two: a broken proxy, or a source with a bug."""
        for stream in self._streams_of(node.name, source=False):
            queue = stream.responses
            if len(queue) >= 2 and not queue[0].hello:
                if self.random.random() < 0.5:
                    queue.append(queue[0])
                else:
                    queue[0], queue[1] = queue[1], queue[0]

    def _start(self, node: Node) -> None:
        node.start()
        assert node.log is not None
        self.makers.setdefault(node.log.origin, node.name)

    def _die(self, node: Node, *, power_loss: bool) -> None:
        node.stop(power_loss=power_loss)
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

    def _is_level(self) -> bool:
        """Return whether all logs reach equally far, but for what is past in those that reach farthest."""
        states = [log.origins() for log in self._logs()]
        for origin in {each for state in states for each in state}:
            known = [state[origin] for state in states if origin in state]
            farthest = max(state.next_sequence for state in known)
            served = any(state.floor_sequence < farthest == state.next_sequence for state in known)
            level = len(known) == len(states) and all(state.next_sequence == farthest for state in known)
            if served and not level:
                return False
        return True

    # Invariants

    def check(self) -> None:
        """Walk every log and compare it with every other, and with the truth."""
        for node in self.nodes.values():
            if node.log is not None:
                self._check_log(node, node.log)

    def _check_log(self, node: Node, log: Log) -> None:
        following: dict[OriginId, int] = {}
        gaps = 0
        for batch in batches_in(log):
            header = batch.header
            expected = following.get(header.origin, log.origins()[header.origin].floor_sequence)
            if header.base_sequence != expected:
                where = f"{node.name}: {header.origin.hex()[:6]} goes on at {header.base_sequence}, not {expected}"
                raise Violation(f"I1/I2 {where}")
            following[header.origin] = header.next_sequence
            if header.is_gap:
                gaps += 1
                continue
            identity = (header.sequence_span, header.portable_crc)
            if self.identities.setdefault((header.origin, header.base_sequence), identity) != identity:
                raise Violation(f"I3 {header.origin.hex()[:6]} has two batches at {header.base_sequence}")
            maker = self.makers[header.origin].encode()
            if any(not value.startswith(maker + b":") for value in scan.values(batch)):
                raise Violation(f"I4 {header.origin.hex()[:6]} holds records that its node did not make")
        if gaps > node.gaps:
            raise Violation(f"I13 {node.name} has {gaps} gaps and reported {node.gaps}")

    def _check_level(self) -> None:
        if not self._is_level():
            reach = {
                node.name: {origin.hex()[:6]: state.next_sequence for origin, state in node.log.origins().items()}
                for node in self.nodes.values()
                if node.log is not None
            }
            raise Violation(f"I7 the logs did not come together: {reach}")
        complete_from = self._complete_from()
        held = [
            sorted(record for record in records_in(log) if record[1] >= complete_from[record[0]])
            for log in self._logs()
        ]
        if any(each != held[0] for each in held):
            raise Violation("I7 the logs reach equally far and hold different records")

    def _complete_from(self) -> dict[OriginId, int]:
        """Return from where on, by origin, no retention and no gap excuses a log from holding a record."""
        complete: dict[OriginId, int] = {}
        for log in self._logs():
            for origin, state in log.origins().items():
                complete[origin] = max(complete.get(origin, 1), state.floor_sequence)
            if self.retention_bytes is None:
                continue
            for batch in batches_in(log):
                if batch.header.is_gap:
                    complete[batch.header.origin] = max(complete[batch.header.origin], batch.header.next_sequence)
        return complete

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
            if sequence > expected and self.retention_bytes is not None:
                self.passed_over[origin] = sequence  # by retention, or a gap that it led to
            if sequence >= expected:
                self.cursor[origin] = sequence + 1
                self.consumed.append((origin, sequence))

    def _check_consumer(self) -> None:
        (node, *_) = self.nodes.values()
        self._consume(node)
        held = {record for record in records_in(self._logs()[0]) if record[1] >= self.passed_over.get(record[0], 1)}
        if len(set(self.consumed)) != len(self.consumed):
            raise Violation("I12 a consumer got a record twice")
        if held - set(self.consumed):
            raise Violation("I12 a consumer missed a record")

    def _logs(self) -> list[Log]:
        return [node.log for node in self.nodes.values() if node.log is not None]


def batches_in(log: Log) -> Iterator[VerifiedBatch]:
    """Yield every batch of a log."""
    cursor = LogCursor(log.start_offset, Position(0))
    while True:
        data, cursor = log.read(cursor, 1 << 20)
        if not data:
            return
        yield from scan.batches(data)


def records_in(log: Log) -> Iterator[tuple[OriginId, int]]:
    """Yield the identity of every record of a log."""
    for batch in batches_in(log):
        if not batch.header.is_control:
            for sequence in range(batch.header.base_sequence, batch.header.next_sequence):
                yield batch.header.origin, sequence
