"""``python -m proglog`` and the ``proglog`` command."""

import os
import signal
from types import FrameType


def main() -> None:
    """Run the command line.

    Until it has begun, and wherever a verb sets no handler of its own, SIGTERM ends the process with 143: the kernel's
    default action does not apply to process 1 of a container. SIGINT is an exception once there is somebody to catch it.
    """
    signal.signal(signal.SIGTERM, _end)
    interrupted = signal.getsignal(signal.SIGINT)
    if interrupted is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, _end)

    from proglog.cli.app import run

    signal.signal(signal.SIGINT, interrupted)
    run()


def _end(number: int, frame: FrameType | None) -> None:
    """Ends the process at once: nothing has been made yet that would stay behind."""
    del frame
    os._exit(128 + number)


if __name__ == "__main__":
    main()
