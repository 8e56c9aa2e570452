"""The lifecycle of the file ``derived``: written, read, dropped. :mod:`proglog.log.derived_state` defines its content."""

from dataclasses import dataclass
from errno import EOVERFLOW
from functools import partial

from proglog.errors import StorageError
from proglog.log import checkpoint, derived_state, reading
from proglog.log.derived_state import Anchor
from proglog.log.state import LogState

_NAME = "derived"


@dataclass(slots=True)
class Snapshot:
    """Of one open log."""

    state: LogState
    _saved: Anchor | None = None
    """What the file covers, if it is known to be right."""
    failed: bool = False
    """It could not be written when it should have been."""
    _incomplete: bool = False
    """Some of the log could not be read: the next start tries again."""

    def load(self) -> None:
        """Bring the state's derived part up to the end of the log."""
        state = self.state
        try:
            content = checkpoint.load(state.files, state.data_dir / _NAME, derived_state.VERSION)
        except (OSError, StorageError):
            content = None  # a hint
        walk = derived_state.load(content, lambda: state.view, state.own_origins(), partial(reading.walk, state))
        state.derived = walk.derived
        state.place_holes([*walk.derived.gaps, *(loss.gap.origin for loss in state.view.gaps() if loss.gap)])
        state.derived.positions.forgotten.clear()  # in a former life
        if walk.walked_bytes:
            state.derived.around = tuple(state.damaged())
        state.recovery.walked_bytes = walk.walked_bytes
        if walk.unreadable:
            state.recovery.notes.append(f"producers and named positions may be incomplete: {walk.unreadable}")
            self._incomplete = True
        self._saved = walk.derived.anchor if content is not None and not walk.walked_bytes else None

    def save(self) -> None:
        """Write the file, if there is anything new. It is a hint: a failure costs a walk at the next start."""
        state = self.state
        anchor = state.derived.anchor
        if anchor is None or anchor == self._saved or self._incomplete:
            return
        try:
            with state.in_step("snapshot"):
                checkpoint.save(state.files, state.data_dir / _NAME, state.derived.to_json(state.origin))
        except OSError as exc:
            self.failed = exc.errno != EOVERFLOW  # it does not become smaller by waiting
            state.problems.report(_NAME, f"the file {_NAME!r} cannot be written: {state.reason(exc)}")
        else:
            state.problems.clear(_NAME)
            self.failed = False
            self._saved = anchor

    def drop(self) -> None:
        """Remove the file, durably, before batches that it does not cover are restored.

        Raises:
            OSError: It could not be removed.
        """
        self._saved = None
        try:
            self.state.files.unlink(self.state.data_dir / _NAME)
        except FileNotFoundError:
            return
        self.state.files.sync_dir(self.state.data_dir)
