"""What is done with gossip keys: the words of people and of Serf, and their numbers on the wire."""

from proglog.api.v1.membership_pb2 import KeyOperation
from proglog.errors import InvalidRequestError

_NUMBERS: dict[str, KeyOperation.ValueType] = {
    "list": KeyOperation.KEY_OPERATION_LIST,
    "install": KeyOperation.KEY_OPERATION_INSTALL,
    "use": KeyOperation.KEY_OPERATION_USE,
    "remove": KeyOperation.KEY_OPERATION_REMOVE,
}
_WORDS: dict[int, str] = {number: word for word, number in _NUMBERS.items()}


def operation_number(word: str) -> KeyOperation.ValueType:
    """Return an operation's number.

    Raises:
        InvalidRequestError: There is no such operation.
    """
    if word not in _NUMBERS:
        raise InvalidRequestError(f"no operation on keys is called {word!r:.40}: expected {_expected()}")
    return _NUMBERS[word]


def operation_word(number: int) -> str:
    """Return an operation's word.

    Raises:
        InvalidRequestError: There is no such operation, or none was named.
    """
    if number not in _WORDS:
        raise InvalidRequestError(f"no operation on keys has the number {number}: expected {_expected()}")
    return _WORDS[number]


def _expected() -> str:
    return ", ".join(_NUMBERS)
