"""The zone of times on the command line: local, in what is read and in what is shown to people; UTC with ``--utc``.

What is written for programs is always in UTC.
"""

from datetime import UTC, datetime, tzinfo

_chosen: list[tzinfo] = []


def use_utc() -> None:
    """Take and show times in UTC."""
    _chosen[:] = [UTC]


def use_local() -> None:
    """Take and show times as the machine's clock does."""
    _chosen.clear()


def current() -> tzinfo | None:
    """Return the zone; ``None``: the machine's."""
    return _chosen[0] if _chosen else None


def second(at_ms: int) -> str:
    """Return a moment for people, to the second."""
    text = clock(at_ms)
    return text[:10] + " " + text[11:19] + text[23:] if "T" in text else text


def clock(at_ms: int) -> str:
    """Return a moment for people, with its offset; beyond the calendar, its milliseconds since 1970."""
    try:
        moment = datetime.fromtimestamp(at_ms // 1000, UTC).replace(microsecond=at_ms % 1000 * 1000)
        return moment.astimezone(current()).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except (OverflowError, ValueError, OSError):
        return f"{at_ms} ms"
