"""The writing half of opening: what must be on disk before the first append.

::

    torn tail cut  -->  clean mark withdrawn  -->  damaged files recreated  -->  origin settled  -->  appends

The other half, recovery, only reads; so a log on a full or read-only disk is served, and housekeeping does this half as
soon as the disk accepts writes.
"""

from proglog.errors import LogFullError, LogReadOnlyError
from proglog.log.config import FsyncPolicy
from proglog.log.files import FULL, REFUSED
from proglog.log.local_origin import LocalOrigin
from proglog.log.recovery import Recovery
from proglog.log.small_files import SmallFiles
from proglog.log.state import LogState


class Opening:
    """Completes the opening of one log, on the thread that appends."""

    def __init__(self, state: LogState, recovery: Recovery, small_files: SmallFiles, local_origin: LocalOrigin) -> None:
        """Store the collaborators."""
        self._state = state
        self._recovery = recovery
        self._small_files = small_files
        self._local_origin = local_origin

    def finish(self) -> None:
        """Complete the pending writes and enable appends, or leave the reason in the log's condition. Idempotent.

        Raises:
            OSError: For another reason than a full or read-only disk.
            StorageError: As above.
        """
        state = self._state
        if state.opened:
            return
        try:
            state.put(self._recovery.finish(state.active))
            self._take_back_the_mark()
            if state.retired_presumed:
                self._small_files.save("retired", state.retired.to_json(state.origin))
                state.retired_presumed = False
            state.opened = True
            state.resume()  # the origin's first batch is an append
            self._local_origin.settle()
        except OSError as exc:
            state.opened = False
            if exc.errno not in REFUSED:
                raise
            state.refuse(exc)
        except (LogFullError, LogReadOnlyError):
            state.opened = False  # the condition says why

    def _take_back_the_mark(self) -> None:
        """Record that the log is open: a stop from now on is unclean unless recorded otherwise."""
        small_files = self._small_files
        if not small_files.marked.clean:
            return
        try:
            small_files.mark_durable(clean=False)
        except OSError as exc:
            # Synced appends make the store outgrow the mark, which is then no longer believed. Others may be lost by a
            # power cut, and leave the store as the mark says.
            if exc.errno not in FULL or self._state.config.fsync is not FsyncPolicy.ALWAYS:
                raise
