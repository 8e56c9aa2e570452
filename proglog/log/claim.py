"""Whose log it is: the origin under which a directory writes, kept or begun anew.

An origin's next sequence must never have been used before. Where that cannot be proved, a new origin begins. The file
``origin`` is written first, then the first batch names the origin before; a crash between the two leaves an origin
without a batch, which the next start gives it.
"""

from collections.abc import Callable

from proglog.errors import ProglogError, StorageError
from proglog.log import checkpoint
from proglog.log.appending import Appender
from proglog.log.config import FsyncPolicy
from proglog.log.model import LocalAppend
from proglog.log.small_files import SmallFiles
from proglog.log.state import LogState
from proglog.record import control
from proglog.record.batch import verify
from proglog.types import NO_ORIGIN, NodeName, OriginId, Sequence


class Claim:
    """Decides on the origin of one opened log."""

    def __init__(
        self,
        state: LogState,
        small_files: SmallFiles,
        appender: Appender,
        node_name: NodeName,
        new_origin: Callable[[], bytes],
    ) -> None:
        """Keep what is needed."""
        self._state = state
        self._small_files = small_files
        self._appender = appender
        self._node_name = node_name
        self._new_origin = new_origin

    def claim(self) -> None:
        """Go on as the directory's origin, or begin a new one where its next sequence could have been used before.

        Raises:
            OSError: The file ``origin`` could not be read or written.
            StorageError: The origin's first batch could not be appended.
        """
        state = self._state
        held: OriginId | None = None
        fresh = state.end[0] == 0 and not state.origins
        reason = "new data directory" if fresh else "the file 'origin' is missing"
        try:
            content = checkpoint.load(state.files, state.data_dir / "origin")
        except StorageError:
            content, reason = None, "the file 'origin' was damaged"
        if content is not None:
            held = OriginId(bytes.fromhex(content["origin"]))
            reason = self._reason_to_leave(content.get("fsync"))
        origin = OriginId(self._new_origin()) if held is None or reason else held
        if reason or content is None or content.get("fsync") != state.config.fsync.value:
            self._save(origin)
        state.origin = origin
        if origin not in state.origins:
            self._start(held, reason or "its first batch was never acknowledged")
        state.recovery.new_origin_reason = "" if fresh and content is None else reason

    def _reason_to_leave(self, fsync: str | None) -> str:
        recovery = self._state.recovery
        if recovery.end_lost:
            return "synced data is missing from the end of the log"
        if not recovery.clean and fsync != FsyncPolicy.ALWAYS.value:
            return f"unclean stop under --fsync {fsync}: acknowledged records may be missing"
        return ""

    def _save(self, origin: OriginId) -> None:
        fsync = self._state.config.fsync.value
        self._small_files.save("origin", {"origin": origin.hex(), "node_name": self._node_name, "fsync": fsync})

    def _start(self, held: OriginId | None, reason: str) -> None:
        previous = self._state.origins.get(held) if held is not None else None
        start = control.origin_start(
            self._node_name,
            now_ms=self._state.now_ms(),
            reason=reason,
            previous_origin=held or NO_ORIGIN,
            previous_next_sequence=previous.next_sequence if previous else Sequence(0),
        )
        (outcome,) = self._appender.append([LocalAppend(verify(start))])
        if isinstance(outcome, ProglogError):
            raise outcome
