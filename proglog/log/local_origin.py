"""The local origin: the one under which a directory writes, kept or replaced.

An origin's next sequence must never have been used before. Where that cannot be proved, a new origin begins. The file
``origin`` is written first, then a first batch that names the previous origin; a crash between the two leaves an origin
without a batch, which the next start appends::

    old origin --> file: new origin, former ones, why --> first batch of the new origin --> new origin
                    |                                      ^
                    +---- crash: the next start resumes ---+

A log that takes only copies, such as a backup, has no origin; its file says why the next owner begins one.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from proglog.errors import ProglogError, StorageError, UnknownFormatError
from proglog.log import checkpoint, reading
from proglog.log.appending import Appender
from proglog.log.checkpoint import MAX_FORMER_ORIGINS
from proglog.log.config import FsyncPolicy
from proglog.log.model import LocalAppend
from proglog.log.small_files import SmallFiles
from proglog.log.state import LogState
from proglog.record import control
from proglog.record.batch import verify
from proglog.types import NO_ORIGIN, NodeName, OriginId, SequenceNumber


class LocalOrigin:
    """Decides the origin of one opened log."""

    def __init__(
        self,
        state: LogState,
        small_files: SmallFiles,
        appender: Appender,
        node_name: NodeName,
        new_origin: Callable[[], bytes],
    ) -> None:
        """Store the collaborators."""
        self._state = state
        self._small_files = small_files
        self._appender = appender
        self._node_name = node_name
        self._new_origin = new_origin
        self._chosen: tuple[OriginId, bytes] | None = None
        """The new origin and its key, until its first batch is written."""

    def settle(self) -> None:
        """Keep the directory's origin, or begin a new one if its next sequence could have been used before.

        Raises:
            OSError: The file ``origin`` could not be read or written.
            StorageError: The origin's first batch could not be appended.
        """
        state = self._state
        if state.config.without_origin:
            self._save(NO_ORIGIN, (), state.config.without_origin, b"")
            return
        fresh = state.end[0] == 0 and not state.origins
        reason = "new data directory" if fresh else "the file 'origin' is missing"
        try:
            path = state.data_dir / "origin"
            content = checkpoint.load(state.files, path)
            if content is not None:
                file_says = checkpoint.parsed(path, checkpoint.read_origins, content)
        except UnknownFormatError:
            raise
        except StorageError:
            content, reason = None, "the file 'origin' was damaged"
        marked = self._small_files.marked.origin
        if content is not None:
            state.origin, state.former_origins, state.origin_key = file_says
            unborn = state.origin == NO_ORIGIN
            reason = content.get("reason", "") if unborn else self._reason_to_leave(content.get("fsync"))
        if marked != NO_ORIGIN and marked not in state.own_origins():
            # Another node's file, or none: the durable mark has the origin of the log.
            state.origin, state.former_origins = marked, ()
            reason = reason if content is None else "the file 'origin' is of another log"
        state.recovery.new_origin_reason = "" if fresh and content is None else reason
        if reason:
            self._begin(reason, keep=False)
            return
        assert content is not None  # without the file there is a reason
        started = state.origin in state.origins
        why = "" if started else content.get("reason") or "its first batch was never acknowledged"
        if content.get("fsync") != state.config.fsync.value or not state.origin_key:
            # Before anything is appended: the next start judges by it what a power cut can have taken. The file of an
            # earlier release has no key: what comes from now on is sealed.
            state.origin_key = state.origin_key or self._new_origin()
            self._save(state.origin, state.former_origins, why, state.origin_key)
        if not started:
            self._start(why)
        elif not state.origins[state.origin].node_name:  # it went with its first batch, and with the file 'retired'
            named = replace(state.origins[state.origin], node_name=self._node_name)
            state.publish(replace(state.view, origins=state.view.origins.moved([named])))

    def begin(self, reason: str) -> OriginId:
        """See :meth:`proglog.log.log.Log.begin_origin`."""
        refusal = self._state.refusal()
        if refusal is not None:
            raise refusal
        self._begin(reason, keep=True)
        self._appender.sync()
        refusal = self._state.refusal()
        if refusal is not None:
            raise refusal
        return self._state.origin

    def _reason_to_leave(self, fsync: str | None) -> str:
        state = self._state
        if state.recovery.end_lost:
            return "synced data is missing from the end of the log"
        if not state.recovery.clean and fsync != FsyncPolicy.ALWAYS.value:
            return f"unclean stop under --fsync {fsync}: acknowledged records may be missing"
        if _may_have_lost_the_last(state):
            return "its last batches may be in a damaged range"
        return ""

    def _begin(self, reason: str, *, keep: bool) -> None:
        """Switch to a new origin: in the file first, so that the next start knows which batch is still to be written.

        If the file cannot be written, no peer has seen the new origin: with ``keep``, the old one stays. Otherwise it
        must not, and the new one waits for the disk.
        """
        state = self._state
        before = state.origin, state.former_origins, state.origin_key
        former = [each for each in (state.origin, *state.former_origins) if each in state.origins]
        origin, key = self._chosen = self._chosen or (OriginId(self._new_origin()), self._new_origin())
        remembered = tuple(former[:MAX_FORMER_ORIGINS])
        try:
            if not keep:
                state.origin, state.former_origins, state.origin_key = origin, remembered, key
            self._save(origin, remembered, reason, key)
            state.origin, state.former_origins, state.origin_key = origin, remembered, key
            self._start(reason)
        except (OSError, ProglogError):
            if keep:
                state.origin, state.former_origins, state.origin_key = before
            raise
        self._chosen = None

    def _save(self, origin: OriginId, former: Sequence[OriginId], reason: str, key: bytes) -> None:
        content = {
            "origin": origin.hex(),
            "node_name": self._node_name,
            "fsync": self._state.config.fsync.value,
            "former": [each.hex() for each in former],
            "reason": reason,
            "key": key.hex(),
        }
        self._small_files.save("origin", content)

    def _start(self, reason: str) -> None:
        """Append the first batch of the origin, which names the previous one."""
        state = self._state
        previous = next((each for each in state.former_origins if each in state.origins), NO_ORIGIN)
        held = state.origins.get(previous)
        start = control.origin_start(
            self._node_name,
            now_ms=state.now_ms(),
            reason=reason,
            previous_origin=previous,
            previous_next_sequence=held.next_sequence if held else SequenceNumber(0),
        )
        (outcome,) = self._appender.append([LocalAppend(verify(start))])
        if isinstance(outcome, ProglogError):
            raise outcome


def _may_have_lost_the_last(state: LogState) -> bool:
    """Return whether damage follows the last batch of this directory's origin: it could hold later ones."""
    for segment in reversed(state.segments):
        behind = segment.loss_behind
        if behind is not None and not behind.void:
            return True
        span = segment.index.origins.get(state.origin)
        if span is not None:
            if not segment.losses:
                return False
            last = reading.find_sequence(
                state, segment.base_offset, state.origin, SequenceNumber(span.next_sequence - 1)
            )
            return last is None or any(loss.start_position > last for loss in segment.losses if not loss.is_behind)
        if any(not loss.void for loss in segment.losses):
            return True
    return False
