"""How long a test waits: the limit on an idle machine, stretched when other processes keep the processors busy.

A wait ends as soon as its condition holds, so patience costs time only when a test fails.
"""

import os

LEAST = 2.0
"""A machine may be slow without being busy."""


def patience(seconds: float) -> float:
    """Return how long to wait for something that takes at most ``seconds`` on an idle machine."""
    waiting = os.getloadavg()[0] / (os.cpu_count() or 1)
    return seconds * max(LEAST, 2 * waiting)
