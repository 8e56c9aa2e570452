"""The small files of an open log, which have to be writable when the disk is full: hence the ballast, room held back."""

from dataclasses import dataclass
from typing import Any

from proglog.log import checkpoint
from proglog.log.checkpoint import DurableMark
from proglog.log.files import write_all
from proglog.log.state import FULL, LogState
from proglog.types import NO_ORIGIN

BALLAST = "ballast"


@dataclass(slots=True)
class SmallFiles:
    """Saves them, in the room that the ballast takes if there is no other."""

    state: LogState
    marked: DurableMark
    """What the file ``durable`` says."""
    has_ballast: bool = False

    def save(self, name: str, content: dict[str, Any]) -> None:
        """Put ``content`` into the file, durably.

        Raises:
            OSError: It could not be written, even without the ballast.
        """
        files, path = self.state.files, self.state.data_dir / name
        content = {"log": self.state.log_id.hex(), **content}
        try:
            checkpoint.save(files, path, content)
        except OSError as exc:
            if exc.errno not in FULL:
                raise
            self.drop_ballast()
            checkpoint.save(files, path, content)

    def mark_durable(self, *, clean: bool) -> None:
        """Record how far the log is synced; ``clean`` if it is being closed in order.

        Raises:
            OSError: The file could not be written.
        """
        active = self.state.active
        mark = DurableMark(
            base_offset=active.base_offset,
            store_bytes=active.size,
            end_offset=active.end_offset,
            clean=clean,
            origin=self.marked.origin if self.state.origin == NO_ORIGIN else self.state.origin,
        )
        if mark != self.marked:
            self.save("durable", mark.to_json())
            self.marked = mark

    def refill_ballast(self) -> None:
        """Take the room to work in when the disk is full; do without if there is none."""
        files, path, size = self.state.files, self.state.data_dir / BALLAST, self.state.config.ballast_bytes
        try:
            file = files.open(path, write=True, create=True)
            try:
                if file.size() < size:
                    write_all(file, [bytes(size)], 0)
            finally:
                file.close()
        except OSError:
            self.drop_ballast()
        else:
            self.has_ballast = True

    def drop_ballast(self) -> None:
        """Give up the room held back."""
        self.has_ballast = False
        try:
            self.state.files.unlink(self.state.data_dir / BALLAST)
        except FileNotFoundError:
            return
