"""The rows of the panel of members."""

from proglog.observe.columns import Row
from proglog.observe.copies_view import held_here
from proglog.observe.spans import Locale
from proglog.tui.panels.members.columns import COLUMNS, MemberFacts
from proglog.tui.state import DashState
from proglog.wire.model import Member


def status_seconds(member: Member, state: DashState) -> float:
    """Return how long a member has had its status, at the moment on the screen."""
    taken_at_ms = state.shown.taken_at_ms if state.shown else state.agent_now_ms
    return (member.status_since_ms + state.agent_now_ms - taken_at_ms) / 1000


def rows(state: DashState, locale: Locale) -> list[Row[MemberFacts]]:
    """Return a row for each member, the agent itself first."""
    if state.shown is None:
        return []
    held = held_here(state.shown)
    return [
        Row(
            key=member.name,
            item=MemberFacts(
                member=member,
                status_seconds=status_seconds(member, state),
                held=held.get(member.name, 0),
                frames=state.shown_frames,
                own=state.first_hand(member.name),
            ),
            columns=COLUMNS,
            locale=locale,
            source=member,
        )
        for member in sorted(state.shown.members, key=lambda member: (not member.local, member.name))
    ]
