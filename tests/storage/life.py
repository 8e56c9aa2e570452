"""A life of a log as a process, to be killed before any one of its system calls: ``python -m tests.storage.life DIR``.

It opens, appends some 200 batches over several rolls, marks, retains and closes, and says on its standard output what
was acknowledged, each by one ``write``: ``<offset> <number>``.
"""

import os
import sys
from pathlib import Path

from tests.storage.kit import ROLLING
from tests.unit.log.kit import append, open_log

BATCHES = 200


def payload(number: int) -> bytes:
    """The value of one batch."""
    return b"%d " % number * (1 + number % 60)


def main() -> None:
    """Live."""
    log = open_log(Path(sys.argv[1]), config=ROLLING)
    for number in range(BATCHES):
        os.write(1, b"%d %d\n" % (append(log, payload(number)).base_offset, number))
        if number % 20 == 19:
            log.retain()
    log.close()


if __name__ == "__main__":
    main()
