"""An agent's snapshot as metrics: computed on each scrape, so that they cost nothing in between."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from proglog.observe import health
from proglog.observe.health import Finding, Severity
from proglog.server.cluster import ClusterView
from proglog.telemetry import metric_names
from proglog.telemetry.metric_names import MetricKind, MetricName
from proglog.wire.model import ClusterSnapshot, GossipStatus, LogState, MemberStatus, PeerState

SNAPSHOT_TIMEOUT = 5.0
"""Seconds that a scrape waits for a busy agent."""

Sample = tuple[tuple[str, ...], float]


class ClusterCollector(Collector):
    """Asked on the scraper's thread; takes the snapshot on the agent's loop."""

    def __init__(self, view: ClusterView, loop: asyncio.AbstractEventLoop) -> None:
        """Ask ``view``, which lives on ``loop``."""
        self._view = view
        self._loop = loop

    def describe(self) -> list[Metric]:
        """Return nothing: registering asks no agent that is not ready yet."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield every family."""
        taking = asyncio.run_coroutine_threadsafe(self._snapshot(), self._loop)
        for name, samples in families(taking.result(SNAPSHOT_TIMEOUT)):
            kind = CounterMetricFamily if name.kind is MetricKind.COUNTER else GaugeMetricFamily
            family = kind(name.name, name.meaning, labels=name.labels)
            for labels, value in samples:
                family.add_metric(labels, value)
            yield family

    async def _snapshot(self) -> ClusterSnapshot:
        return self._view.snapshot(segments=False)


def families(snapshot: ClusterSnapshot) -> Iterator[tuple[MetricName, list[Sample]]]:
    """Yield each metric that a snapshot knows, with its samples: the values of its labels, and the value."""
    log = snapshot.log
    yield metric_names.LOG_START_OFFSET, _one(log.start_offset)
    yield metric_names.LOG_END_OFFSET, _one(log.end_offset)
    yield metric_names.LOG_BYTES, _one(log.bytes)
    yield metric_names.LOG_SEGMENTS, _one(log.segment_count)
    yield metric_names.LOG_WRITABLE, _one(log.state is LogState.OK)
    yield metric_names.LOG_PROBLEMS, _one(len(log.problems))
    yield metric_names.LOG_DAMAGED_RANGES, _one(len(log.damaged))
    yield metric_names.DISK_FREE_BYTES, _one(log.disk_free_bytes)
    yield metric_names.DISK_TOTAL_BYTES, _one(log.disk_total_bytes)
    yield metric_names.RECORDS_APPENDED, _one(log.records_appended)
    yield metric_names.BYTES_APPENDED, _one(log.bytes_appended)
    yield metric_names.RECORDS_SERVED, _one(log.records_served)
    peers = snapshot.peers
    yield metric_names.REPLICATION_STREAMING, [((peer.name,), peer.state is PeerState.STREAMING) for peer in peers]
    yield metric_names.RECORDS_COPIED, [((peer.name,), peer.records_copied) for peer in peers]
    behind = [(peer.name, [origin for origin in peer.origins if origin.lag_records]) for peer in peers]
    yield (
        metric_names.REPLICATION_LAG_RECORDS,
        [((peer,), sum(origin.lag_records for origin in origins)) for peer, origins in behind],
    )
    yield (
        metric_names.REPLICATION_LAG_SECONDS,
        [((peer,), max((origin.lag_ms for origin in origins), default=0) / 1000) for peer, origins in behind],
    )
    yield from _health(health.findings(snapshot), health.own_findings(snapshot))
    by_status = Counter(member.status for member in snapshot.members)
    yield metric_names.MEMBERS, [((status.value,), by_status[status]) for status in MemberStatus]
    yield from _gossip(snapshot.node.gossip)
    if snapshot.node.certificate_expires_at_ms is not None:
        yield metric_names.CERTIFICATE_EXPIRY, _one(snapshot.node.certificate_expires_at_ms / 1000)


def _health(found: Sequence[Finding], own: Sequence[Finding]) -> Iterator[tuple[MetricName, list[Sample]]]:
    severities = Counter(each.severity for each in found)
    levels = [each for each in Severity if each is not Severity.OK]
    yield metric_names.FINDINGS, [((each.name.lower(),), severities[each]) for each in levels]
    labels = dict.fromkeys((each.rule, each.subject, each.severity.name.lower()) for each in found)
    yield metric_names.FINDING, [(each, 1) for each in labels]
    yield metric_names.READY, _one(health.ready(own))


def _gossip(gossip: GossipStatus) -> Iterator[tuple[MetricName, list[Sample]]]:
    outcomes = ("direct", "relayed", "tcp", "missed")
    kinds = ("members", "intents", "queries", "events")
    yield metric_names.GOSSIP_HEALTH, _one(gossip.health_score)
    yield metric_names.GOSSIP_PROBES, [((each,), getattr(gossip, f"probes_{each}")) for each in outcomes]
    yield metric_names.GOSSIP_SUSPICIONS, _one(gossip.suspicions)
    yield metric_names.GOSSIP_REFUTATIONS, _one(gossip.refutations)
    yield metric_names.GOSSIP_CONFLICTS, _one(gossip.conflicts)
    yield metric_names.GOSSIP_MALFORMED, _one(gossip.malformed)
    yield metric_names.GOSSIP_UNSENT, _one(gossip.unsent)
    yield metric_names.GOSSIP_QUEUED, [((each,), getattr(gossip, f"queued_{each}")) for each in kinds]


def _one(value: float) -> list[Sample]:
    return [((), value)]
