r"""What the box of a table takes: which rows stay, and what of them is marked. Pure, but for a clock.

::

    text              rows that contain it, in any case; !text: that do not
    ~PATTERN          rows in which a regular expression finds something
    key=a header=b header:name=b origin=n1 value=c     of records, each in one part; any may begin with ! or have ~ after =

Terms of records stand beside each other, a blank between them means *and*; quotes keep blanks. Patterns are the
operator's own, texts are anybody's: a search that takes too long is broken off, and its pattern given up.
"""

import re
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from types import FrameType

from proglog.observe.columns import AnyRow
from proglog.observe.spans import Line, Role, Span
from proglog.record.record import StoredRecord

SEARCHED_BYTES = 64 * 1024
"""Of a value."""
SEARCH_SECONDS = 0.05
"""For one row."""
_SLOW_TOTAL, _SLOW_EACH = 0.25, 0.002
_FIELDS = ("key", "value", "header", "origin")
_TERM = re.compile(rf"(!?)(?:({'|'.join(_FIELDS)})(?::([^=]*))?=)?(~?)(.*)", re.DOTALL)


_WORD = re.compile(r'(?:[^\s"]|"[^"]*"?)+')


class _TooLongError(Exception):
    pass


@dataclass(slots=True)
class Term:
    """One condition."""

    text: str
    negated: bool = False
    part: str = ""
    """Of a record; empty: all of it."""
    name: str = ""
    """Of the header; empty: any."""
    pattern: re.Pattern[str] | None = None
    given_up: bool = False
    """Its pattern takes too long: it holds of every row."""
    _spent: float = 0.0
    _searches: int = 0

    def holds(self, texts: Sequence[str]) -> bool:
        """Return whether it holds of a row with these texts, casefolded where it is no pattern."""
        if self.given_up or not self.text:
            return True
        found = any(map(self._finds, texts)) if self.pattern else any(self.text in each for each in texts)
        return self.given_up or found is not self.negated

    def _finds(self, text: str) -> bool:
        assert self.pattern is not None
        began = time.monotonic()
        try:
            with _limited(SEARCH_SECONDS):
                return self.pattern.search(text) is not None
        except _TooLongError:
            self.given_up = True
            return False
        finally:
            self._spent += time.monotonic() - began
            self._searches += 1
            self.given_up |= self._spent > max(_SLOW_TOTAL, self._searches * _SLOW_EACH)


class _limited:  # noqa: N801  a block
    """Breaks off what takes longer, on the main thread; the engine of patterns looks at signals."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._main = threading.current_thread() is threading.main_thread()

    def __enter__(self) -> None:
        if self._main:
            self._before = signal.signal(signal.SIGALRM, self._break)
            signal.setitimer(signal.ITIMER_REAL, self._seconds)

    def __exit__(self, *error: object) -> None:
        if self._main:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, self._before)

    @staticmethod
    def _break(number: int, frame: FrameType | None) -> None:
        del number, frame
        raise _TooLongError


@dataclass(frozen=True, slots=True)
class Needle:
    """All conditions of a box."""

    terms: tuple[Term, ...] = ()
    error: str = ""
    """Why a term is none; it holds of every row then."""

    @property
    def problem(self) -> str:
        """What is wrong with it; empty: nothing."""
        return self.error or ("the pattern takes too long" if any(each.given_up for each in self.terms) else "")


@lru_cache(maxsize=16)
def parsed(text: str, *, of_records: bool) -> Needle:
    """Return the conditions of a text; the same object while it is the same text."""
    words = [text.strip()]
    if of_records and not words[0].startswith(("~", "!~")):  # a pattern alone may have blanks
        words = [word.replace('"', "") for word in _WORD.findall(text)]
    terms, error = [], ""
    for word in words:
        match = _TERM.fullmatch(word)
        assert match is not None  # every text is one
        negated, part, name, is_pattern, wanted = match.groups()
        if part and not of_records:
            part, wanted, is_pattern = "", word.removeprefix("!"), ""
        term = Term(wanted if is_pattern else wanted.casefold(), bool(negated), part or "", (name or "").casefold())
        if is_pattern and wanted:
            try:
                term.pattern = re.compile(wanted)
            except (re.error, OverflowError, RecursionError) as problem:
                error = f"no regular expression: {problem}"
                continue
        terms.append(term)
    return Needle(tuple(terms), error)


def needle_of(row: AnyRow, text: str) -> Needle:
    """Return the conditions of a text for a row."""
    return parsed(text, of_records=isinstance(row.source, StoredRecord))


def accepts(row: AnyRow, text: str) -> bool:
    """Return whether a row passes the box."""
    needle = needle_of(row, text)
    return all(term.holds(list(_texts(row, term))) for term in needle.terms)


def _texts(row: AnyRow, term: Term) -> Iterator[str]:
    """Yield what a term is looked for in."""
    record = row.source
    if not isinstance(record, StoredRecord):
        yield row.text
        return
    for text in _parts(row, record, term):
        yield text if term.pattern else text.casefold()


def _parts(row: AnyRow, record: StoredRecord, term: Term) -> Iterator[str]:
    if term.part in ("", "key"):
        yield _decoded(record.key or b"")
    if term.part in ("", "value"):
        yield _decoded(record.value)
    if term.part in ("", "header"):
        for name, value in record.headers:
            if not term.name or name.casefold() == term.name:
                yield f"{name}={_decoded(value)}" if not term.name else _decoded(value)
    if term.part == "origin":
        yield record.origin.hex()
        yield getattr(getattr(row, "item", None), "writer", "")
    if not term.part:
        yield row.text


def _decoded(data: bytes) -> str:
    return data[:SEARCHED_BYTES].decode("utf-8", "replace")


def marked(line: Line, text: str, *, of_records: bool) -> Line:
    """Return a line of a table with what the box looks for in the role of a match."""
    terms = [each for each in parsed(text, of_records=of_records).terms if not each.negated and each.text]
    if not terms:
        return line
    whole = "".join(span.text for span in line)
    folded = whole.casefold()
    if len(folded) != len(whole):
        return line  # places in it are others
    ranges: list[tuple[int, int]] = []
    for term in terms:
        if term.pattern is None:
            at = folded.find(term.text)
            while at >= 0:
                ranges.append((at, at + len(term.text)))
                at = folded.find(term.text, at + len(term.text))
        elif not term.given_up:
            try:
                with _limited(SEARCH_SECONDS):
                    ranges += [each.span() for each in term.pattern.finditer(whole) if each.group()]
            except _TooLongError:
                term.given_up = True
    return _in_role(line, ranges) if ranges else line


def _in_role(line: Line, ranges: Sequence[tuple[int, int]]) -> Line:
    spans: list[Span] = []
    start = 0
    for span in line:
        end = start + len(span.text)
        cuts = sorted({start, end, *(max(min(edge, end), start) for each in ranges for edge in each)})
        for left, right in pairwise(cuts):
            inside = any(first <= left and right <= last for first, last in ranges)
            spans.append(Span(span.text[left - start : right - start], Role.MATCH if inside else span.role))
        start = end
    return tuple(spans)
