"""The machine's clocks in the units that the rest uses. The pure packages take ``now`` as an argument instead."""

import time

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""Counts on while the machine is suspended, and does not jump."""
_BEGAN_AT = time.time() - time.clock_gettime(_CLOCK)


def now_ms() -> int:
    """Return milliseconds since 1970, by the wall clock."""
    return time.time_ns() // 1_000_000


def steady() -> float:
    """Return seconds since 1970: the wall clock when this process began, advanced by a clock that never jumps.

    Durations on a screen use it: setting the wall clock stops no screen and no recording.
    """
    return _BEGAN_AT + time.clock_gettime(_CLOCK)
