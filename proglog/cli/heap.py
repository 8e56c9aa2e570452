"""The C library's heap, for verbs that move batches.

glibc returns free memory to the kernel as soon as 128 KiB of it lie at the top of the heap. A batch needs several buffers of
256 KiB, so each one is faulted in page by page and returned again: a fifth of the processor time of ``consume``.

Source: mallopt(3).
"""

import ctypes

KEPT_BYTES = 64 * 1024 * 1024
"""Free memory at the top of the heap that is kept for the next batch."""

_MAPPED_FROM_BYTES = 32 * 1024 * 1024  # the most that glibc takes; smaller buffers come from the heap
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def keep_freed_memory() -> bool:
    """Keep freed memory for the next batch; return whether the C library can. For programs: a library leaves its host alone."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is None:
        return False
    return bool(mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES) and mallopt(_M_MMAP_THRESHOLD, _MAPPED_FROM_BYTES))
