"""How a log stores: segment size, durability, retention."""

from dataclasses import dataclass
from enum import StrEnum

from proglog.errors import ConfigError
from proglog.record.batch import MAX_STORED_BATCH_BYTES

KIB = 1024
MIB = 1024 * KIB
MAX_SEGMENT_BYTES = 2048 * MIB
"""The index of a larger segment could exceed what is read back: it has at most one entry a batch."""


class FsyncPolicy(StrEnum):
    """When appended batches are made durable."""

    ALWAYS = "always"
    """Before every acknowledgement: a power cut loses nothing acknowledged."""
    INTERVAL = "interval"
    """Every ``fsync_interval``: a power cut loses at most that much."""
    OS = "os"
    """When the kernel likes, and at each roll: a power cut loses some 30 s. A killed process loses nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogConfig:
    """One log. Checks itself."""

    segment_bytes: int = 128 * MIB
    """A segment is rolled before it would grow beyond this."""

    index_interval_bytes: int = 4 * KIB
    """At most so many bytes of segment between two index entries of an origin."""

    fsync: FsyncPolicy = FsyncPolicy.ALWAYS
    """When appended batches are made durable."""

    fsync_interval: float = 1.0
    """Seconds, for ``FsyncPolicy.INTERVAL``."""

    retention_bytes: int | None = None
    """Whole segments go, oldest first, while the log has more. ``None``: never."""

    retention_age: float | None = None
    """Seconds: segments go whose newest batch was appended longer ago. ``None``: never."""

    ballast_bytes: int = MIB
    """Room held back on the disk: with it, retention can still record what it removes when nothing else fits."""

    without_origin: str = ""
    """Why the log takes only copies, and its next owner begins an origin, in words; empty: it has an origin of its own."""

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        if not 4 * KIB <= self.segment_bytes <= MAX_SEGMENT_BYTES:
            raise ConfigError(f"--segment-bytes {self.segment_bytes}: expected 4 KiB to 2 GiB")
        if not 1 <= self.index_interval_bytes <= MAX_STORED_BATCH_BYTES:
            raise ConfigError(
                f"index interval {self.index_interval_bytes}: expected 1 to {MAX_STORED_BATCH_BYTES} bytes"
            )
        if not 0.001 <= self.fsync_interval <= 3600:
            raise ConfigError(f"fsync interval {self.fsync_interval}: expected 0.001 to 3600 seconds")
        if self.retention_bytes is not None and self.retention_bytes < 0:
            raise ConfigError(f"--retention-bytes {self.retention_bytes}: expected 0 or more")
        if self.retention_age is not None and self.retention_age <= 0:
            raise ConfigError(f"--retention-age {self.retention_age}: expected more than 0 seconds")
        if not 0 <= self.ballast_bytes <= 1 << 30:
            raise ConfigError(f"ballast {self.ballast_bytes}: expected 0 to {1 << 30} bytes")
