"""Prose and code agree: numbers in the docs are the constants, and every module, class and file that is named exists."""

import importlib
import re
from pathlib import Path

import pytest

from proglog.agent import origin_change, peer, replicator, timeline, transport
from proglog.client import channel
from proglog.gossip import beliefs, framing, lamport, serf_messages, swim, wire
from proglog.record import batch
from proglog.replication import planner
from proglog.server import admission, feed, replication_service

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "ARCHITECTURE.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
SOURCES = [
    path
    for folder in ("proglog", "kit", "tests", "tools", "benchmarks")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if not path.stem.endswith(("_pb2", "_pb2_grpc"))
]
MIB, KIB = 2**20, 2**10
SERVICES = {f"proglog.v1.{name}" for name in ("Batches", "Cluster", "Losses", "Positions", "Replication")}
WORDS = {"two": 2, "three": 3, "four": 4, "five": 5, "ten": 10}
KEEPALIVE_SECONDS = sum(value for name, value in channel.OPTIONS if name.startswith("grpc.keepalive_t")) / 1000
REPLICATION, GOSSIP, CLIENTS = "concepts/replication.md", "concepts/gossip.md", "guides/clients.md"
PATIENCE = planner.Patience()
SAID = [
    (REPLICATION, r"takes up to (\S+) MiB that is not yet durable", peer.MAX_QUEUED_BYTES / MIB),
    (REPLICATION, r"not yet durable, per stream \| (\S+) MiB", peer.MAX_QUEUED_BYTES / MIB),
    (REPLICATION, r"black hole is noticed within (\S+) seconds", KEEPALIVE_SECONDS),
    (REPLICATION, r"black hole, mute server \| noticed within (\S+) s", KEEPALIVE_SECONDS),
    (REPLICATION, r"does not say hello after (\w+)", replicator.HELLO_TIMEOUT),
    (REPLICATION, r"follows another within (\S+) ms", replication_service.COALESCE_SECONDS * 1000),
    (REPLICATION, r"they are stored, up to (\S+) KiB a message", replication_service.READ_BYTES / KIB),
    (REPLICATION, r"at every commit; after (\S+) s", replicator.REPORT_INTERVAL),
    (REPLICATION, r"new origins of one node \| one in (\S+) s", origin_change.ORIGIN_INTERVAL),
    (REPLICATION, r"`gap_timeout` \| (\S+) s", PATIENCE.stall_timeout),
    (REPLICATION, r"`gap_timeout` \| \S+ s, (\S+) s", PATIENCE.aside_timeout),
    (REPLICATION, r"`gap_timeout` \| \S+ s, \S+ s, (\S+) s", PATIENCE.gap_timeout),
    (REPLICATION, r"origins wanted on one stream \| (\S+)", feed.MAX_WANTED),
    (GOSSIP, r"(\S+) KiB a datagram", transport.MAX_DATAGRAM_BYTES / KIB),
    (GOSSIP, r"(\S+) KiB of one may be compressed", framing.MAX_PACKET_COMPRESSED / KIB),
    (GOSSIP, r"(\S+) KiB a second from members", swim.MEMBERS_COMPRESSED / KIB),
    (GOSSIP, r"(\S+) KiB from strangers", swim.STRANGERS_COMPRESSED / KIB),
    (GOSSIP, r"(\S+) s for the first byte", transport.FIRST_BYTE_SECONDS),
    (GOSSIP, r"Lamport times up to 2\^(\d+)", lamport.MAX_AHEAD.bit_length() - 1),
    (GOSSIP, r"incarnations up to 2\^(\d+)", beliefs.MAX_INCARNATION_STEP.bit_length() - 1),
    (GOSSIP, r"(\w+) detours at most", serf_messages.MAX_DETOURS),
    (GOSSIP, r"(\S+) MiB a stream", framing.MAX_STREAM_BYTES / MIB),
    (GOSSIP, r"\((\S+) MiB unencrypted\)", framing.MAX_PLAIN_STREAM_BYTES / MIB),
    (GOSSIP, r"(\S+) streams at once", transport.MAX_STREAMS),
    (GOSSIP, r"(\S+) bytes of tags each", wire.MAX_META_BYTES),
    (CLIENTS, r"an agent takes (\S+) on a connection", admission.MAX_CALLS_OF_CONNECTION),
    (CLIENTS, r"on a connection and (\S+) in all; of unanswered", admission.MAX_CALLS),
    (CLIENTS, r"(\S+) MiB on a connection", admission.MAX_REQUEST_BYTES_OF_CONNECTION / MIB),
    (CLIENTS, r"MiB on a connection and (\S+) MiB in all", admission.MAX_REQUEST_BYTES / MIB),
    (CLIENTS, r"waits for its turn, up to (\S+) seconds", admission.MAX_WAIT),
    ("concepts/formats.md", r"header included; at most (\S+) MiB", batch.MAX_STORED_BATCH_BYTES / MIB),
    ("reference/events.md", r"keeps the last (\d+)", timeline.MAX_EVENTS),
]


@pytest.mark.parametrize(("page", "pattern", "value"), SAID)
def test_a_number_in_the_docs_is_that_of_the_code(page: str, pattern: str, value: float) -> None:
    found = re.findall(pattern, " ".join((ROOT / "docs" / page).read_text().split()))

    assert found, f"{page} no longer says it: {pattern}"
    assert [WORDS.get(each) or float(each.replace(",", "")) for each in found] == [value] * len(found)


def test_every_file_that_is_named_exists() -> None:
    missing = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in [*PAGES, *SOURCES]
        for name in re.findall(
            r"(?<![\w/])(?:proglog|kit|tests|tools|docs|proto|benchmarks)/[\w./-]+\.(?:py|md|proto|sh|svg)\b",
            path.read_text(),
        )
        if not any((root / name).exists() for root in (ROOT, ROOT / "proto"))
    }

    assert missing == set()


def test_every_name_that_a_page_or_docstring_refers_to_exists() -> None:
    pattern = r":(?:mod|class|func|meth|data|attr):`~?((?:proglog|kit)\.[\w.]+)`|``((?:proglog|kit)\.[\w.]+)``"
    missing = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in [*PAGES, *SOURCES]
        for match in re.finditer(pattern, path.read_text())
        for name in (match[1] or match[2],)
        if not _exists(name)
    }

    assert missing == set()


def _exists(name: str) -> bool:
    """Whether it is a module or something in one; services of the API are named like modules, too."""
    if name in SERVICES:
        return True
    parts = name.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        for part in parts[cut:]:
            if not hasattr(found, part):
                return False
            found = getattr(found, part)
        return True
    return False


BANNED = re.compile(r"\b(is told|are told|was told|goes on|whoever|of whom|stands for|stands there)\b", re.IGNORECASE)
"""What a native engineer would not write: CONTRIBUTING has what to say instead."""
READ = [
    *(page for page in PAGES if page.name != "CONTRIBUTING.md"),
    ROOT / "CHANGELOG.md",
    ROOT / "SECURITY.md",
    *sorted((ROOT / "proto").rglob("*.proto")),
    *sorted(path for path in (ROOT / "examples").rglob("*") if path.suffix in {".py", ".go", ".js", ".mjs", ".java"}),
    *(path for path in SOURCES if path != Path(__file__)),
]


def test_no_page_no_comment_and_no_name_has_a_phrase_that_nobody_says() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {match[0]}"
        for path in READ
        if path.exists()
        for number, line in enumerate(path.read_text().replace("_", " ").splitlines(), 1)
        for match in BANNED.finditer(line)
    ]

    assert found == []
