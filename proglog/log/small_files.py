"""The small files of an open log, which have to be writable when the disk is full: hence the ballast, room held back."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from proglog.log import checkpoint, losses
from proglog.log.checkpoint import DurableMark
from proglog.log.files import DRAFT_SUFFIX, FULL, write_all
from proglog.log.state import LogState
from proglog.log.store import is_index_name
from proglog.types import NO_ORIGIN

BALLAST = "ballast"
_ROOM_BYTES = 16 * 1024
"""Of the ballast, given up for one small file: what is left of it survives an agent that ends on a full disk."""
NAMES = ("identity", "origin", "durable", "retired", *losses.FILES, "derived")


@dataclass(slots=True)
class SmallFiles:
    """Saves them, in the room that the ballast takes if there is no other."""

    state: LogState
    marked: DurableMark
    """What the file ``durable`` says."""
    has_ballast: bool = False
    """Whether all of it is there."""

    def save(self, name: str, content: dict[str, Any]) -> None:
        """Save ``content`` in the file, durably.

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
            self._save_in_the_room_of_the_ballast(path, content)

    def _save_in_the_room_of_the_ballast(self, path: Path, content: dict[str, Any]) -> None:
        """As much of it as a small file needs; all of it if that, or the inode, is not enough."""
        try:
            self._shrink_ballast()
            checkpoint.save(self.state.files, path, content)
        except OSError as exc:
            if exc.errno not in FULL:
                raise
            self.drop_ballast()
            checkpoint.save(self.state.files, path, content)

    def mark_durable(self, *, clean: bool) -> None:
        """Record how far the log is synced; ``clean`` if it is being closed cleanly.

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
            start_offset=self.state.start_offset,
            origins=tuple((origin, span.next_sequence) for origin, span in active.index.origins.items()),
        )
        if mark != self.marked:
            self.save("durable", mark.to_json())
            self.marked = mark

    def save_losses(self) -> None:
        """Save the losses, if they have changed.

        Raises:
            OSError: A file could not be written.
        """
        if self.state.losses_saved:
            return
        self.state.losses_number += 1
        content = losses.to_json(self.state.view.losses, self.state.losses_number)
        for name in losses.FILES:
            self.save(name, content)
        self.state.losses_saved = True

    def refill_ballast(self) -> None:
        """Take the room to work in when the disk is full. Without it everything works but retention on a full disk.

        Raises:
            OSError: There is no such room.
        """
        if self.has_ballast:
            return
        self._grow_ballast(0)
        self.has_ballast = True

    def find_room(self, size: int) -> None:
        """Find out whether ``size`` bytes can be written: by doing it, since quotas do not show in what a disk says.

        Raises:
            OSError: They cannot.
        """
        self.refill_ballast()
        self._grow_ballast(size)

    def _grow_ballast(self, more: int) -> None:
        """Make sure of the ballast's bytes, and for the time being of ``more`` of them."""
        files, path, size = self.state.files, self.state.data_dir / BALLAST, self.state.config.ballast_bytes
        file = files.open(path, write=True, create=True)
        try:
            start = file.size()
            if start < size + more:
                grown = start
                try:
                    write_all(file, [bytes(size + more - start)], start)
                    grown = size
                finally:
                    file.truncate(grown)
        finally:
            file.close()

    def _shrink_ballast(self) -> None:
        self.has_ballast = False
        try:
            file = self.state.files.open(self.state.data_dir / BALLAST, write=True)
        except FileNotFoundError:
            return
        try:
            file.truncate(max(0, file.size() - _ROOM_BYTES))
        finally:
            file.close()

    def drop_ballast(self) -> None:
        """Give up the room held back."""
        self.has_ballast = False
        try:
            self.state.files.unlink(self.state.data_dir / BALLAST)
        except FileNotFoundError:
            return

    def sweep(self) -> None:
        """Remove drafts that a crash, or a disk without room, left.

        Raises:
            OSError: One could not be removed.
        """
        files, directory = self.state.files, self.state.data_dir
        for name in files.names(directory):
            draft_of = name.removesuffix(DRAFT_SUFFIX)
            if draft_of != name and (draft_of in NAMES or is_index_name(draft_of)):
                files.unlink(directory / name)
