"""``python -m proglog`` and the ``proglog`` command."""

import os
import signal
import sys
from types import FrameType


def main() -> None:
    """Run the command line.

    Closed standard streams lead nowhere: or the next file or socket that is opened would be taken for one.

    Until it has begun, and wherever a verb sets no handler of its own, SIGTERM ends the process with 143: the kernel's
    default action does not apply to process 1 of a container. SIGINT is an exception once there is somebody to catch it.
    """
    _open_standard_streams()
    _check_package()
    _answer_at_once()
    signal.signal(signal.SIGTERM, _end)
    interrupted = signal.getsignal(signal.SIGINT)
    if interrupted is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, _end)

    from proglog.cli.app import run

    signal.signal(signal.SIGINT, interrupted)
    run()


def _answer_at_once() -> None:
    """End here if no verb is needed: before Typer is imported, and without Python's own end."""
    from proglog.cli import front

    try:
        code = front.answer(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:
        code = 141
    except OSError as exc:
        sys.stderr.write(f"error: cannot write to standard output: {exc.strerror}\n")
        code = 1
    if code is not None:
        sys.stderr.flush()
        os._exit(code)


def _open_standard_streams() -> None:
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest that is free: this one
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            mode = "r" if descriptor == 0 else "w"
            setattr(sys, name, open(descriptor, mode, encoding="utf-8", errors="backslashreplace", closefd=False))  # noqa: SIM115 - for the life of the process


def _check_package() -> None:
    """Say so where another project's files have replaced this package's, or removed them."""
    import proglog

    if getattr(proglog, "DISTRIBUTION", None) is None:
        sys.stderr.write(
            "proglog: error: another distribution, named proglog, has replaced files of this one (proglog-cluster): both"
            f" have a package named proglog. Environment: {sys.prefix}\n"
            "  pip uninstall proglog; pip install --force-reinstall proglog-cluster\n"
            "  and give whatever needs the other one an environment of its own: docs/guides/installing.md\n"
        )
        sys.exit(1)


def _end(number: int, frame: FrameType | None) -> None:
    """Ends the process at once: nothing has been made yet that would stay behind."""
    del frame
    os._exit(128 + number)


if __name__ == "__main__":
    main()
