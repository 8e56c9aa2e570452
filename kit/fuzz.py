"""Messages made of random values of each field's type, often plausible ones."""

from collections.abc import Callable
from random import Random
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

_BOUNDS = {
    FieldDescriptor.TYPE_INT64: ((1 << 63) - 1, -(1 << 63)),
    FieldDescriptor.TYPE_UINT64: ((1 << 64) - 1, 0),
    FieldDescriptor.TYPE_UINT32: ((1 << 32) - 1, 0),
    FieldDescriptor.TYPE_FIXED32: ((1 << 32) - 1, 0),
}


class Fuzz:
    """Fills messages."""

    def __init__(
        self,
        seed: int,
        origins: tuple[bytes, ...],
        batches: Callable[[Random], bytes] = lambda random: random.randbytes(99),
    ) -> None:
        """Draw from ``seed``; byte fields often hold one of ``origins``, and those called so ``batches``."""
        self.random = Random(seed)
        self.origins = origins
        self._batches = batches

    def fill(self, message: Message) -> Message:
        """Fill ``message``, and return it."""
        fields: Any = message.DESCRIPTOR.fields
        for field in fields:
            count = self.random.choice([0, 1, 1, 3]) if field.is_repeated else self.random.choice([0, 1, 1])
            for _ in range(count):
                self._set(message, field)
        return message

    def _set(self, message: Any, field: Any) -> None:
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            held = getattr(message, field.name)
            if field.message_type.GetOptions().map_entry:
                key, value = field.message_type.fields
                held[self._value(key)] = self._value(value)
                return
            self.fill(held.add() if field.is_repeated else held)
        elif field.is_repeated:
            getattr(message, field.name).append(self._value(field))
        else:
            setattr(message, field.name, self._value(field))

    def _value(self, field: Any) -> Any:
        random = self.random
        if field.type == FieldDescriptor.TYPE_BYTES:
            if field.name == "batches":
                return self._batches(self.random)
            return random.choice([*self.origins, *self.origins, b"", random.randbytes(16), random.randbytes(700)])
        if field.type == FieldDescriptor.TYPE_STRING:
            return random.choice(["evil", "", "\x1b[2J\n", "x" * 5000])
        if field.type == FieldDescriptor.TYPE_ENUM:
            return random.randrange(-1, 9)
        if field.type == FieldDescriptor.TYPE_BOOL:
            return random.random() < 0.5
        if field.type == FieldDescriptor.TYPE_DOUBLE:
            return random.choice([0.0, -1.5, 1e308, float("inf"), float("nan"), random.random()])
        most, least = _BOUNDS[field.type]
        return random.choice([0, 1, 2, 3, 17, most, least, most // 2, random.randint(least, most)])
