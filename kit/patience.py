"""How long a test waits: what is promised on a machine at rest, stretched where others keep the processors busy.

A condition that holds ends a wait at once, so patience costs time only where a test fails.
"""

import os

LEAST = 2.0
"""A machine may be slow without being busy."""


def patience(seconds: float) -> float:
    """Return how long to wait for what takes at most ``seconds`` on a machine at rest."""
    waiting = os.getloadavg()[0] / (os.cpu_count() or 1)
    return seconds * max(LEAST, 2 * waiting)
