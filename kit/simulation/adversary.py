"""The adversary: chooses random steps, the node that takes each, good or bad."""

from pathlib import Path

from kit.simulation.cluster import Cluster
from kit.simulation.consumer import Consumer
from kit.simulation.disk import PowerLossError
from kit.simulation.node import DATA_DIR, Node
from proglog.types import OriginId


class Adversary:
    """Produce, send, deliver, append; lose power, kill, restart, wipe, roll back, clone, damage, cut, hang, meddle."""

    def __init__(self, cluster: Cluster, consumer: Consumer, *, tampering: float, damage: float) -> None:
        """Take control of ``cluster``.

        Args:
            cluster: Its ``Random`` is the only source of randomness.
            consumer: Reads from time to time.
            tampering: Weight of rolled back and cloned directories; 0: none.
            damage: Weight of media damage.
        """
        self._cluster = cluster
        self._consumer = consumer
        self._random = cluster.random
        self._backups: dict[str, tuple[dict[Path, bytes], OriginId]] = {}
        self._actions = [
            (20, cluster.produce),
            (12, cluster.connect),
            (20, cluster.pump),
            (40, cluster.deliver),
            (14, self._commit),
            (8, cluster.tick),
            (2, self._consume),
            (1.5, self._crash),
            (3, self._restart),
            (1.0, self._cut_or_mend),
            (2, cluster.retain),
            (0.4, self._wipe),
            (0.6, self._hang),
            (5, self._meddle),
            (1.0 * tampering, self._back_up),
            (0.4 * tampering, self._roll_back),
            (0.3 * tampering, self._clone),
            (3 * damage, self.damage),
            (2 * damage, cluster.repair),
        ]

    def step(self) -> None:
        """Do one thing at one node."""
        name = self._random.choice(list(self._cluster.nodes))
        weights = [weight for weight, _ in self._actions]
        ((_, action),) = self._random.choices(self._actions, weights)
        node = self._cluster.nodes[name]
        try:
            action(node)
        except PowerLossError:
            self._cluster.die(node, power_loss=True)

    def _crash(self, node: Node) -> None:
        if node.log is not None:
            self._cluster.die(node, power_loss=self._random.random() < 0.6)

    def _restart(self, node: Node) -> None:
        if node.log is None:
            if self._random.random() < 0.1:
                node.disk.fail_after = self._random.randint(0, 12)
            self._cluster.start(node)
            node.disk.fail_after = None

    def _wipe(self, node: Node) -> None:
        if node.log is None:
            node.wipe()
            self._cluster.truth.seen.pop(node.name, None)

    def _back_up(self, node: Node) -> None:
        if node.log is not None:
            self._backups[node.name] = node.disk.image(), node.log.origin

    def _roll_back(self, node: Node) -> None:
        """Restore a backup: records written since may have been copied."""
        if node.log is None and node.name in self._backups:
            self._put_disk(node, *self._backups[node.name])

    def _clone(self, node: Node) -> None:
        """Start a node on a copy of another node's directory."""
        others = [other for other in self._cluster.nodes.values() if other is not node and other.log is not None]
        if node.log is None and others:
            other = self._random.choice(others)
            assert other.log is not None
            self._put_disk(node, other.disk.image(), other.log.origin)

    def _put_disk(self, node: Node, image: dict[Path, bytes], origin: OriginId) -> None:
        node.put_back(image)
        self._cluster.truth.tampered.add(origin)
        self._cluster.truth.seen.pop(node.name, None)
        self._cluster.truth.makers.setdefault(origin, set()).add(node.name)

    def damage(self, node: Node) -> None:
        """Damage a byte of a sealed segment on the medium of a node that is down."""
        stores = [name for name in node.disk.names(DATA_DIR) if name.endswith(".log")][:-1]
        if node.log is None and stores:
            path = DATA_DIR / self._random.choice(stores)
            size = node.disk.open(path).size()
            if size:
                node.disk.flip(path, self._random.randrange(size))
                node.rotten = True
                self._cluster.truth.damaged |= self._cluster.truth.makers.keys()
                self._cluster.truth.seen.pop(node.name, None)

    def _cut_or_mend(self, node: Node) -> None:
        """Cut or mend one direction. A stream over a cut breaks after a while, or survives if mended before."""
        other = self._random.choice([each for each in self._cluster.nodes if each != node.name])
        self._cluster.cut ^= {(node.name, other)}
        if (node.name, other) in self._cluster.cut and self._random.random() < 0.5:
            for key in ((node.name, other), (other, node.name)):
                self._cluster.break_stream(key)

    def _hang(self, node: Node) -> None:
        for stream in self._cluster.streams_of(node.name, source=True):
            stream.muted = self._random.random() < 0.5

    def _meddle(self, node: Node) -> None:
        """Duplicate a message, or swap two: a broken proxy, or a source with a bug."""
        for stream in self._cluster.streams_of(node.name, source=False):
            queue = stream.responses
            if len(queue) >= 2 and queue[0].hello is None:
                if self._random.random() < 0.5:
                    queue.append(queue[0])
                else:
                    queue[0], queue[1] = queue[1], queue[0]

    def _commit(self, node: Node) -> None:
        """Write; the power may fail in the middle."""
        if self._cluster.can_commit(node):
            if self._random.random() < 0.05:
                node.disk.fail_after = self._random.randint(0, 3)
            self._cluster.commit(node)
            node.disk.fail_after = None

    def _consume(self, node: Node) -> None:
        if node.log is not None:
            self._consumer.read(node.log)
