"""The machine's wall clock in the unit of the format. The pure packages take ``now`` as an argument instead."""

import time


def now_ms() -> int:
    """Return milliseconds since 1970."""
    return time.time_ns() // 1_000_000
