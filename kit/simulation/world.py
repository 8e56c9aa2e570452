"""One run: random steps of the adversary, then everything is healed, and fair rounds must make all logs converge.

It runs on a seed, not on a clock, so a failure replays. :mod:`kit.simulation.invariants` has the invariants.
"""

from random import Random

from kit.simulation.adversary import Adversary
from kit.simulation.cluster import Cluster
from kit.simulation.consumer import Consumer
from kit.simulation.invariants import records_in
from kit.simulation.membership import Everybody, Gossip
from kit.simulation.node import SEGMENT_BYTES
from kit.simulation.rules import Rules, Violation

FAIR_ROUNDS = 2000
"""Rounds of ``ROUND_SECONDS``: time for gaps, each decided after half a minute, to spread from node to node."""
ROUND_SECONDS = 0.2
STILL_ROUNDS = 250
"""Longest quiet period: nodes that wait before recording a gap."""
SETTLING_ROUNDS = 20
STEP_SECONDS = 0.05
JOINING_ROUNDS = 40
"""Rounds in which a joiner has to get what there is: eight seconds."""
CHECK_STEPS = 100
"""Steps between two checks of all logs."""


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
        gossip: bool = False,
    ) -> None:
        """Set up nodes, running and unconnected.

        Args:
            seed: The source of all randomness.
            rules: Which rules hold.
            nodes: At most eight.
            steps: Of the adversary.
            retention_bytes: Of each log; ``None``: unlimited.
            tampering: Weight of rolled back and cloned directories; 0: none.
            damage: Weight of media damage.
            gossip: Nodes find and lose each other by gossip.
        """
        self.random = Random(seed)
        self.steps = steps
        self.cluster = Cluster(
            self.random,
            rules or Rules(),
            Gossip(seed) if gossip else Everybody(),
            nodes=nodes,
            retention_bytes=retention_bytes,
        )
        self.consumer = Consumer(self.cluster.truth, retention=retention_bytes is not None)
        self._adversary = Adversary(self.cluster, self.consumer, tampering=tampering, damage=damage)

    def run(self) -> None:
        """Take random steps, heal, and check that the logs converge."""
        cluster = self.cluster
        for number in range(self.steps):
            cluster.pass_time(self.random.expovariate(1 / STEP_SECONDS))
            self._adversary.step()
            if number % CHECK_STEPS == 0:
                cluster.check()
        cluster.check()
        self._heal()
        still = 0
        for _ in range(FAIR_ROUNDS):
            before = self._ends()
            self._fair_round()
            still = still + 1 if self._ends() == before else 0
            if still > STILL_ROUNDS and still % 10 == 0 and self._is_level():
                break
        cluster.check_level()
        self._check_quiet()
        cluster.check()
        (log, *_) = cluster.logs()
        self.consumer.read(log)
        self.consumer.check(log)

    def quiet_times(self, records: int) -> None:
        """Let every node produce without faults: instead of :meth:`run`."""
        for _ in range(records):
            for node in self.cluster.nodes.values():
                self.cluster.produce(node)
            self._fair_round()
        for _ in range(SETTLING_ROUNDS):
            self._fair_round()
        self.cluster.check_level()

    def long_absence(self, rounds: int) -> None:
        """Keep the only whole copy away for longer than any timeout: instead of :meth:`run`.

        One node dies, the medium of another rots, and the others join anew with empty disks; the first comes back after
        ``rounds`` rounds, in which the others are killed now and then.
        """
        cluster, names = self.cluster, list(self.cluster.nodes)
        self.quiet_times(40)
        whole, rotten, *empty = (cluster.nodes[name] for name in names)
        for node in (whole, rotten, *empty):
            cluster.die(node, power_loss=True)
        self._adversary.damage(rotten)
        for node in empty:
            node.wipe()
            cluster.truth.seen.pop(node.name, None)
        for number in range(rounds):
            for node in (rotten, *empty):
                if node.log is None:
                    cluster.start(node)
                elif number and number % (rounds // 3) == 0:
                    cluster.die(node, power_loss=False)
            self._fair_round()
        self._heal()
        for _ in range(rounds // 3):
            self._fair_round()
            if self._is_level():
                break
        cluster.check_level()

    def archive_away(self, rounds: int) -> None:
        """Let nodes join while the only one that keeps everything is away: instead of :meth:`run`.

        Retention runs at the second node; the others join with empty disks, and are killed and wiped now and then.

        Raises:
            Violation: A joiner had nothing for long, or lacks in the end what the archive holds.
        """
        cluster = self.cluster
        self.quiet_times(60)
        archive, trimmed, *joiners = cluster.nodes.values()
        for node in cluster.nodes.values():
            cluster.die(node, power_loss=True)
        trimmed.retention_bytes = 2 * SEGMENT_BYTES
        for node in joiners:
            node.wipe()
            cluster.truth.seen.pop(node.name, None)
        for number in range(rounds):
            for node in (trimmed, *joiners):
                if node.log is not None and node is not trimmed and number % (rounds // 3) == 0:
                    cluster.die(node, power_loss=self.random.random() < 0.5)
                    if self.random.random() < 0.5:
                        node.wipe()
                        cluster.truth.seen.pop(node.name, None)
                if node.log is None:
                    cluster.start(node)
            if number == 0:
                cluster.retain(trimmed)
            self._fair_round()
            if number == JOINING_ROUNDS and any(node.log.end_offset < 10 for node in joiners if node.log is not None):
                raise Violation("a joiner has nothing, though a node has records")
        self._heal()
        for _ in range(rounds):
            self._fair_round()
            if self._is_level():
                break
        cluster.check_level()
        assert archive.log is not None
        held = set(records_in(archive.log))
        for node in joiners:
            assert node.log is not None
            if held - set(records_in(node.log)):
                raise Violation(f"I7 {node.name} lacks what the archive holds")

    def _heal(self) -> None:
        """Mend and restart everything; one stream stays hung, as one may indefinitely."""
        cluster = self.cluster
        cluster.cut.clear()
        for key in list(cluster.streams):
            cluster.break_stream(key)
        for node in cluster.nodes.values():
            if node.log is None:
                cluster.start(node)
        for node in cluster.nodes.values():
            cluster.connect(node)
        streams = list(cluster.streams.values())
        if len(cluster.nodes) > 2 and streams:  # by gossip, some find each other later
            self.random.choice(streams).muted = True

    def _fair_round(self) -> None:
        """Give every node a turn for every step."""
        cluster = self.cluster
        cluster.pass_time(ROUND_SECONDS)
        for node in cluster.nodes.values():
            for action in (
                cluster.connect,
                cluster.pump,
                cluster.deliver,
                cluster.deliver,
                cluster.commit,
                cluster.tick,
                cluster.repair,
            ):
                action(node)

    def _is_level(self) -> bool:
        """Whether there is nothing left to do."""
        try:
            self.cluster.check_level()
        except Violation:
            return False
        return not any(node.queue for node in self.cluster.nodes.values())

    def _check_quiet(self) -> None:
        ends = self._ends()
        for _ in range(2 * SETTLING_ROUNDS):
            self._fair_round()
        if ends != self._ends():
            raise Violation("I8 the logs grow though no node produces")

    def _ends(self) -> list[int]:
        return [log.end_offset for log in self.cluster.logs()]
