"""An agent's snapshot as metrics: computed on each scrape, so that they cost nothing in between."""

import asyncio
import platform
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import nlargest
from math import inf

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from proglog import __version__
from proglog.observe import health
from proglog.observe.health import Finding, Severity
from proglog.record.batch import VERSION
from proglog.server.admission import Admission
from proglog.server.cluster import ClusterView
from proglog.telemetry import metric_names
from proglog.telemetry.latency import LatencyHistogram, LatencyWindow
from proglog.telemetry.metric_names import MetricKind, MetricName
from proglog.wire.model import ClusterSnapshot, Copies, GossipStatus, LogState, MemberStatus, PeerState, PeerStatus

SNAPSHOT_TIMEOUT = 5.0
"""Seconds that a scrape waits for a busy agent."""

MAX_ORIGINS = 200
"""Origins that have series of their own."""

Sample = tuple[tuple[str, ...], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricSources:
    """What is looked at."""

    view: ClusterView
    latencies: Mapping[str, LatencyWindow]
    """``append``, ``sync`` and ``ack``."""
    admission: Admission
    events: Mapping[tuple[str, str], int]
    """How often each event of a level was emitted."""


@dataclass(frozen=True, slots=True)
class _Look:
    """Everything at one moment."""

    snapshot: ClusterSnapshot
    others: list[tuple[MetricName, list[Sample]]]
    histograms: list[tuple[MetricName, LatencyHistogram]]


class ClusterCollector(Collector):
    """Asked on the scraper's thread; takes the snapshot on the agent's loop."""

    def __init__(self, sources: MetricSources, loop: asyncio.AbstractEventLoop) -> None:
        """Ask ``sources``, which live on ``loop``."""
        self._sources = sources
        self._loop = loop

    def describe(self) -> list[Metric]:
        """Return nothing: registering asks no agent that is not ready yet."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield every family."""
        look = asyncio.run_coroutine_threadsafe(self._look(), self._loop).result(SNAPSHOT_TIMEOUT)
        for name, samples in (*families(look.snapshot), *look.others):
            kind = CounterMetricFamily if name.kind is MetricKind.COUNTER else GaugeMetricFamily
            family = kind(name.name, name.meaning, labels=name.labels)
            for labels, value in samples:
                family.add_metric(labels, value)
            yield family
        for name, taken in look.histograms:
            buckets = [("+Inf" if bound == inf else repr(bound), count) for bound, count in taken.buckets]
            yield HistogramMetricFamily(name.name, name.meaning, buckets=buckets, sum_value=taken.seconds)

    async def _look(self) -> _Look:
        sources = self._sources
        windows = ((_HISTOGRAMS[what], window) for what, window in sources.latencies.items())
        return _Look(
            sources.view.snapshot(segments=False),
            list(_server(sources.admission, sources.events)),
            [(name, window.histogram()) for name, window in windows],
        )


_HISTOGRAMS = {
    "append": metric_names.APPEND_SECONDS,
    "sync": metric_names.FSYNC_SECONDS,
    "ack": metric_names.ACK_SECONDS,
}


def _server(admission: Admission, events: Mapping[tuple[str, str], int]) -> Iterator[tuple[MetricName, list[Sample]]]:
    kinds = admission.kinds.items()
    yield metric_names.RPCS_OPEN, [((kind,), bound.held) for kind, bound in kinds]
    yield metric_names.RPCS_WAITING, [((kind,), bound.waiting) for kind, bound in kinds]
    yield metric_names.RPCS_OVER_LIMIT, [((kind,), bound.refused) for kind, bound in kinds]
    yield metric_names.CONNECTIONS, _one(admission.connections)
    yield metric_names.REQUEST_BYTES, _one(admission.requests.held)
    yield metric_names.EVENTS_EMITTED, list(events.items())
    build = __version__, platform.python_version(), str(VERSION)
    yield metric_names.BUILD_INFO, [(build, 1)]


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
    yield from _by_origin(peers)
    yield metric_names.BYTES_COPIED, [((peer.name,), peer.bytes_copied) for peer in peers]
    followers, consumers = snapshot.followers, snapshot.consumers
    yield metric_names.FOLLOWER_LAG_RECORDS, [((each.name,), each.lag_records) for each in followers]
    yield metric_names.FOLLOWER_LAG_SECONDS, [((each.name,), each.lag_ms / 1000) for each in followers]
    yield metric_names.CONSUMER_LAG_RECORDS, [((each.name,), each.records_behind) for each in consumers]
    aged = [(each.name, each.lag_ms) for each in consumers]
    yield metric_names.CONSUMER_LAG_SECONDS, [((name,), lag_ms / 1000) for name, lag_ms in aged if lag_ms is not None]
    yield from _copies(snapshot.copies)
    yield from _health(health.findings(snapshot), health.own_findings(snapshot))
    by_status = Counter(member.status for member in snapshot.members)
    yield metric_names.MEMBERS, [((status.value,), by_status[status]) for status in MemberStatus]
    yield from _gossip(snapshot.node.gossip)
    if snapshot.node.certificate_expires_at_ms is not None:
        yield metric_names.CERTIFICATE_EXPIRY, _one(snapshot.node.certificate_expires_at_ms / 1000)


def _by_origin(peers: Sequence[PeerStatus]) -> Iterator[tuple[MetricName, list[Sample]]]:
    """Series of origins that are behind: there may be any number of others."""
    behind = [(peer.name, origin) for peer in peers for origin in peer.origins if origin.lag_records]
    worst = nlargest(MAX_ORIGINS, behind, key=lambda each: each[1].lag_records)
    labels = [(peer, origin.origin.hex(), origin.node_name) for peer, origin in worst]
    records = [origin.lag_records for _, origin in worst]
    seconds = [origin.lag_ms / 1000 for _, origin in worst]
    yield metric_names.ORIGIN_LAG_RECORDS, list(zip(labels, records, strict=True))
    yield metric_names.ORIGIN_LAG_SECONDS, list(zip(labels, seconds, strict=True))


def _copies(copies: Copies) -> Iterator[tuple[MetricName, list[Sample]]]:
    yield metric_names.RECORDS_BY_COPIES, [((str(each.copies),), each.records) for each in copies.counts]
    yield metric_names.RECORDS_LOST, _one(copies.lost)
    yield metric_names.RECORDS_STRANDED, _one(sum(each.records for each in copies.stranded))
    yield metric_names.RECORDS_IN_FLIGHT, _one(copies.in_flight)
    yield metric_names.COPIES_SHORT_SECONDS, _one((copies.since_ms or 0) / 1000)


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
    yield metric_names.GOSSIP_EXCHANGES, [(("ok",), gossip.exchanges), (("failed",), gossip.exchanges_failed)]
    yield metric_names.GOSSIP_FLAPS, _one(gossip.flaps)
    yield metric_names.GOSSIP_USER_EVENTS, _one(gossip.user_events)
    yield metric_names.GOSSIP_QUERIES, _one(gossip.queries)
    yield (
        metric_names.GOSSIP_DATAGRAMS,
        [(("sent",), gossip.datagrams_sent), (("received",), gossip.datagrams_received)],
    )
    yield metric_names.GOSSIP_BYTES, [(("sent",), gossip.bytes_sent), (("received",), gossip.bytes_received)]
    yield metric_names.GOSSIP_QUEUED, [((each,), getattr(gossip, f"queued_{each}")) for each in kinds]


def _one(value: float) -> list[Sample]:
    return [((), value)]
