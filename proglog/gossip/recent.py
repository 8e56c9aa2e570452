"""Recently seen messages by Lamport time, so that each is delivered once and stale ones are recognised.

A ring of 512 times. Each remembers a bounded number of digests, not contents: a flood is dropped, not stored.

Source: serf ``serf.go`` (event and query buffers).
"""

from hashlib import blake2b

SLOTS = 512
MAX_PER_TIME = 64
_DIGEST_BYTES = 16


class Recent:
    """Remembers what came within the last 512 Lamport times."""

    def __init__(self) -> None:
        """Start empty."""
        self._slots: dict[int, tuple[int, list[bytes]]] = {}

    def is_news(self, ltime: int, now: int, content: bytes) -> bool:
        """Return whether ``content``, of ``ltime``, has not been seen, and remember it.

        Args:
            ltime: When it was said.
            now: This node's clock of the same kind.
            content: What distinguishes it from others of the same time.
        """
        if ltime + SLOTS <= now:
            return False
        held, digests = self._slots.get(ltime % SLOTS, (ltime, []))
        if held > ltime:
            return False
        if held < ltime:
            digests = []
        digest = blake2b(content, digest_size=_DIGEST_BYTES).digest()
        if digest in digests or len(digests) >= MAX_PER_TIME:
            return False
        digests.append(digest)
        self._slots[ltime % SLOTS] = (ltime, digests)
        return True
