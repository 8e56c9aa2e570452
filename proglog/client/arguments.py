"""Arguments of the client's calls, checked: which value, and what was expected."""

from proglog.errors import InvalidRequestError


def whole(name: str, value: object, least: int, most: int) -> int:
    """Return a whole number in ``[least, most]``.

    Raises:
        InvalidRequestError: It is none.
    """
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        hint = " or 'all'" if name == "acks" else ""
        raise InvalidRequestError(f"{name}={value!r:.60}: expected a whole number from {least} to {most}{hint}")
    return value


def seconds(name: str, value: object, most: float, *, zero: bool = False) -> float:
    """Return a number of seconds up to ``most``; 0 only where ``zero`` means something.

    Raises:
        InvalidRequestError: It is none.
    """
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= most or not (value or zero):
        least = "from 0" if zero else "more than 0"
        raise InvalidRequestError(f"{name}={value!r:.60}: expected seconds, {least} to {most:g}")
    return float(value)
