"""One segment: what is known of it, and its batches, read page by page as far as somebody looks."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.widget import Widget

from proglog.client.offset_spec import OffsetSpec
from proglog.observe.columns import FixedRow
from proglog.record.batch import BatchHeader
from proglog.tui.panels.segments import batches, verification_view
from proglog.tui.panels.segments.verification import SegmentId
from proglog.tui.screens.browser import Browser, SizedRow
from proglog.tui.screens.records import RecordsScreen
from proglog.tui.source import Place
from proglog.tui.state import DashState
from proglog.tui.widgets.lines import Lines
from proglog.tui.widgets.live_table import LiveTable
from proglog.wire.model import Segment

_HEADER_BYTES = 400
"""What a header takes in memory, about."""

_TALL = 16
"""Lines of a terminal that has room for all facts and some batches."""
_FACTS = 3
"""Lines of facts on a smaller one; what a verification found comes first."""


class SegmentScreen(Browser):
    """Shows a segment; its batches come through the same call that consumers use."""

    COLUMNS = batches.COLUMNS
    EMPTY = "no batches yet"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "V", "verify", "Verify", id="segment.verify", tooltip="Have the agent read and check every batch of it"
        ),
    ]

    def __init__(self, segment_id: SegmentId, trail: Sequence[str]) -> None:
        """Prepare the screen of a segment.

        Args:
            segment_id: Which, and whose.
            trail: Where it is, for the title.
        """
        super().__init__(trail)
        self._segment_id = segment_id
        self._state_changed = asyncio.Event()
        """Set when the state has changed."""

    def _contents(self) -> tuple[Widget, ...]:
        self._facts = Lines(id="facts")
        return (self._facts, *super()._contents())

    def on_mount(self) -> None:
        """Start to read."""
        super().on_mount()
        self._open(OffsetSpec.offset(self._segment_id.base_offset))

    @property
    def topic(self) -> str:
        """What the help explains."""
        return "batches"

    async def portions(self, spec: Place) -> AsyncIterator[tuple[list[SizedRow], OffsetSpec]]:
        """Yield a portion for each batch; of a segment that grows, for those that come, too."""
        segment = await self._segment()
        assert isinstance(spec, OffsetSpec)  # what it is opened with
        if segment is None or (spec.value >= segment.end_offset and not segment.active):
            return
        end = None if segment.active else OffsetSpec.offset(segment.end_offset)
        async for header, following in self.dash.source.batches(spec, end):
            if end is None and not await self._grew_to(header.end_offset):
                return
            yield [(batches.row(header, self.locale), _HEADER_BYTES)], following

    async def _segment(self) -> Segment | None:
        """Wait while another node is watched; returns the segment, if it is still there."""
        while (latest := self.dash.state.latest) is None or latest.node.name != self._segment_id.node_name:
            await self._wait_for_change()
        return self._segment_id.find(latest)

    async def _grew_to(self, offset: int) -> bool:
        """Wait until the agent has said whether a segment that grows goes as far as ``offset``."""
        while (segment := await self._segment()) is not None:
            if offset <= segment.end_offset:
                return True
            if not segment.active:
                return False
            await self._wait_for_change()
        return False

    async def _wait_for_change(self) -> None:
        self._state_changed.clear()
        await self._state_changed.wait()

    def damaged_row(self, start: int, end: int) -> FixedRow:
        """Return the row for offsets that cannot be read."""
        return batches.damaged_row(start, end, self.locale)

    def render_state(self, state: DashState) -> None:
        """Bring facts and batches up to date."""
        self._state_changed.set()
        verification = self.dash.verifier.of(self._segment_id)
        found = verification_view.lines(verification, self.locale) if verification else []
        if self.size.height < _TALL:
            shown = [*found, *batches.facts(state, self._segment_id, self.locale, None)][:_FACTS]
        else:
            width = self._facts.content_size.width or self.size.width - 8
            shown = [*batches.facts(state, self._segment_id, self.locale, width), *found]
        self._facts.styles.height = len(shown)
        self._facts.set_lines(shown)
        super().render_state(state)

    def action_verify(self) -> None:
        """Have the agent read and check every batch."""
        if not self.dash.verifier.begin(self._segment_id):
            self.dash.announce("a verification runs: one at a time", severity="warning")

    def on_live_table_opened(self, event: LiveTable.Opened) -> None:
        """Browse the records from a batch on."""
        header = event.row.source
        if isinstance(header, BatchHeader):
            trail = (*self._trail, f"batch {header.base_offset:,}")
            self.app.push_screen(RecordsScreen(OffsetSpec.offset(header.base_offset), trail))
