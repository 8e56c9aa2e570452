"""A bounded window of rows that come in order: the newest are kept, and it can be held while more come.

::

    rows dropped | rows kept                          | not read yet
                 |<----- at most so many, so large -->|
                 |<-- shown while held -->|<-- new -->|
"""

from collections import deque
from collections.abc import Callable, Iterable

from proglog.observe.columns import AnyRow
from proglog.tui.needle import accepts


class Window:
    """Rows, and their sizes."""

    def __init__(self, *, kept: int, kept_bytes: int) -> None:
        """Prepare an empty window.

        Args:
            kept: Rows kept at most, the newest; as many again while it is held.
            kept_bytes: Their sizes together at most; a single row may be larger.
        """
        self._kept = kept
        self._kept_bytes = kept_bytes
        self._rows: deque[tuple[AnyRow, int]] = deque()
        self._bytes = 0
        self._held: list[AnyRow] | None = None
        self.new = 0
        """Rows that came since it was held."""

    @property
    def rows(self) -> list[AnyRow]:
        """What is shown."""
        return [row for row, _ in self._rows] if self._held is None else self._held

    def __len__(self) -> int:
        return len(self._rows) if self._held is None else len(self._held)

    @property
    def held(self) -> bool:
        """Whether rows that come are kept back."""
        return self._held is not None

    def clear(self) -> None:
        """Forget everything, a hold included."""
        self._rows.clear()
        self._bytes = 0
        self._held = None
        self.new = 0

    def take(self, rows: Iterable[tuple[AnyRow, int]], needle: str = "") -> None:
        """Take rows and their sizes; while held, those that match ``needle`` count as new."""
        for row, size in rows:
            self._rows.append((row, size))
            self._bytes += size
            self.new += self.held and (not needle or accepts(row, needle))
            while len(self._rows) > self._kept or (self._bytes > self._kept_bytes and len(self._rows) > 1):
                self._bytes -= self._rows.popleft()[1]

    def hold(self) -> None:
        """Show what is here now, whatever comes."""
        if self._held is None:
            self._held = self.rows
            self.new = 0

    def release(self) -> None:
        """Show what came."""
        self._held = None
        self.new = 0

    def remake(self, make: Callable[[AnyRow], AnyRow]) -> None:
        """Make every row anew, to look otherwise."""
        self._rows = deque((make(row), size) for row, size in self._rows)
        if self._held is not None:
            self._held = list(map(make, self._held))
