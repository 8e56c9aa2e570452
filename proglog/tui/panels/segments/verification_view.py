"""A verification in lines: in a cell, in the edge of a panel, and in full."""

from proglog.observe.spans import Line, Locale, Role, Span, line
from proglog.observe.words import bytes_words, count_words
from proglog.tui.panels.segments.verification import Verification
from proglog.wire.model import DamagedRange

_LISTED = 5
"""Problems in full; of more the number."""


def cell(verification: Verification, locale: Locale) -> Line:
    """Return it in nine cells."""
    if verification.error:
        return line(Span(f"{locale.pick('▲', '!')} stopped", Role.WARN))
    if verification.running:
        return line(Span(f"{_share(verification):.0%} read", Role.ACCENT))
    if _problems(verification):
        return line(Span(f"{locale.pick('✖', 'x')} damaged", Role.BAD))
    return line(Span(f"{locale.pick('✓', '+')} whole", Role.GOOD))


def summary(verification: Verification, locale: Locale) -> Line:
    """Return it in one line."""
    batches = count_words(verification.done.batches) if verification.done else "0"
    if verification.error:
        return line(
            Span(f"{locale.pick('▲', '!')} verifying stopped: ", Role.WARN), locale.safe(verification.error, 200)
        )
    if verification.running:
        size = f" of {bytes_words(verification.done.bytes_total)}" if verification.done else ""
        words = f"{_share(verification):.0%}{size}, {batches} batches "
        return line(Span("verifying ", Role.ACCENT), words, locale.bar(_share(verification), 20))
    if problems := _problems(verification):
        words = (
            f"{locale.pick('✖', 'x')} verified {locale.clock(verification.at)}: {count_words(len(problems))} damaged"
        )
        return line(Span(words, Role.BAD), f", {batches} batches whole")
    return line(
        Span(f"{locale.pick('✓', '+')} verified {locale.clock(verification.at)}: ", Role.GOOD), f"{batches} batches"
    )


def lines(verification: Verification, locale: Locale) -> list[Line]:
    """Return it with what was found."""
    problems = _problems(verification)
    shown = [summary(verification, locale)]
    for each in problems[:_LISTED]:
        where = f"offsets {locale.range_words(each.start_offset, each.end_offset)}"
        shown.append(line(Span(f"  {locale.pick('✖', 'x')} ", Role.BAD), locale.safe(each.detail or where, 200)))
    if len(problems) > _LISTED:
        shown.append(line(Span(f"  and {count_words(len(problems) - _LISTED)} more", Role.BAD)))
    return shown


def _share(verification: Verification) -> float:
    done = verification.done
    return min(done.bytes_done / done.bytes_total, 1.0) if done and done.bytes_total > 0 else 0.0


def _problems(verification: Verification) -> tuple[DamagedRange, ...]:
    return verification.done.problems if verification.done else ()
