"""Records that a log may take for something else, or that are mostly key or headers; and the check that they are whole."""

from hashlib import sha256
from random import Random

from proglog.record import batch, columns
from proglog.record.record import Record, StoredRecord


class Oddities:
    """Makes such records."""

    def __init__(self, random: Random) -> None:
        self._random = random
        data = batch.encode(columns.from_values([b"planted"] * 20), count=20, first_timestamp_ms=1, max_timestamp_ms=1)
        self._piece_of_a_log = data * 3 + data[: len(data) // 2]

    def padding(self) -> bytes:
        """Return what a value begins with: the bytes of a log, control characters, or much of nothing."""
        return self._random.choice((self._piece_of_a_log, bytes(range(256)), bytes(100_000), b"."))

    def record(self, payload: bytes) -> Record:
        """Return a record of ``payload``, with a key and headers that :meth:`fits` can check."""
        size = self._random.choice((1, 1_000, 100_000))
        key = sha256(payload).digest() * (size // 32 + 1)
        headers = tuple((f"h{number}", key[: size // 10]) for number in range(self._random.choice((0, 3, 20))))
        return Record(value=payload, key=key, headers=headers)

    @staticmethod
    def fits(record: StoredRecord) -> bool:
        """Return whether key and headers are those that were sent with the value, if any were."""
        digest = sha256(record.value).digest()
        whole = record.key is None or record.key == digest * (len(record.key) // 32)
        return whole and all(digest.startswith(value[:32]) for _, value in record.headers)
