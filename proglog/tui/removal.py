"""Removing a failed member from the cluster: when it is refused, and what comes of it."""

from proglog.observe.safe_text import safe_text
from proglog.tui.state import DashState
from proglog.wire.model import Member, MemberStatus

CONSEQUENCES = (
    "It shows as left at once, everywhere. Its records stay.",
    "If it comes back, it is a member again.",
)
"""Shown before the name is typed."""


def refusal(member: Member, state: DashState, *, allow_writes: bool) -> str:
    """Return why a member cannot be removed now; empty: it can."""
    if not allow_writes:
        return "the dashboard only reads: start it with --allow-writes to remove members"
    if state.recorded or state.paused:
        return "this is the past: members can be removed in the present alone"
    if member.status is not MemberStatus.FAILED:
        name = safe_text(member.name, 60)
        return f"{name} is {member.status.value}: only a member that failed can be removed"
    return ""
