"""What a verification says: in a cell, in the edge of a panel, and in full."""

from proglog.observe.words import bytes_words, count_words
from proglog.tui.checks import Check
from proglog.tui.spans import Line, Look, Role, Span, line
from proglog.wire.model import DamagedRange

_LISTED = 5
"""Problems in full; of more the number."""


def cell(check: Check, look: Look) -> Line:
    """Returns it in nine cells."""
    if check.error:
        return line(Span(f"{look.pick('▲', '!')} stopped", Role.WARN))
    if check.running:
        return line(Span(f"{_share(check):.0%} read", Role.ACCENT))
    if _problems(check):
        return line(Span(f"{look.pick('✖', 'x')} damaged", Role.BAD))
    return line(Span(f"{look.pick('✓', '+')} whole", Role.GOOD))


def summary(check: Check, look: Look) -> Line:
    """Returns it in one line."""
    batches = count_words(check.done.batches) if check.done else "0"
    if check.error:
        return line(Span(f"{look.pick('▲', '!')} verifying stopped: ", Role.WARN), look.safe(check.error, 200))
    if check.running:
        size = f" of {bytes_words(check.done.bytes_total)}" if check.done else ""
        words = f"{_share(check):.0%}{size}, {batches} batches "
        return line(Span("verifying ", Role.ACCENT), words, look.bar(_share(check), 20))
    if problems := _problems(check):
        words = f"{look.pick('✖', 'x')} verified {look.clock(check.at)}: {count_words(len(problems))} damaged"
        return line(Span(words, Role.BAD), f", {batches} batches whole")
    return line(Span(f"{look.pick('✓', '+')} verified {look.clock(check.at)}: ", Role.GOOD), f"{batches} batches")


def lines(check: Check, look: Look) -> list[Line]:
    """Returns it with what was found."""
    problems = _problems(check)
    told = [summary(check, look)]
    for each in problems[:_LISTED]:
        where = f"offsets {each.start_offset:,} {look.pick('…', '..')} {each.end_offset:,}"
        told.append(line(Span(f"  {look.pick('✖', 'x')} ", Role.BAD), look.safe(each.detail or where, 200)))
    if len(problems) > _LISTED:
        told.append(line(Span(f"  and {count_words(len(problems) - _LISTED)} more", Role.BAD)))
    return told


def _share(check: Check) -> float:
    done = check.done
    return min(done.bytes_done / done.bytes_total, 1.0) if done and done.bytes_total > 0 else 0.0


def _problems(check: Check) -> tuple[DamagedRange, ...]:
    return check.done.problems if check.done else ()
