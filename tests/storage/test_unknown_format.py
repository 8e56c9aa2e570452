"""A directory that a later version wrote: it is refused in so many words, or served around; not a byte is rewritten.

What this version wrote is opened for ever: ``tests/integration/test_format_v1.py``.
"""

from struct import Struct

import pytest

from proglog.errors import StorageError
from proglog.log.config import LogConfig
from proglog.record import scan
from proglog.record.batch import HEADER_BYTES, MalformedBatchError, parse_header
from proglog.record.crc import crc
from proglog.testing.files import FaultyFiles
from tests.storage.kit import Image, Witness, open_log

CONFIG = LogConfig(segment_bytes=4096, index_interval_bytes=512, ballast_bytes=0)
_U32 = Struct("<I")
FIELDS = {"version": (36, 3), "codec": (37, 1), "flag": (38, 8)}


def of_later(batch: bytes, field: str) -> bytes:
    """The batch as a later version might have written it: its checksums agree."""
    made = bytearray(batch)
    position, value = FIELDS[field]
    made[position] = value
    made[32:36] = _U32.pack(crc(made[36:HEADER_BYTES], crc(made[HEADER_BYTES:])))
    made[4:8] = _U32.pack(crc(made[8:HEADER_BYTES]))
    return bytes(made)


def written() -> tuple[Image, Witness]:
    files, witness = FaultyFiles(), Witness()
    log = open_log(files=files, config=CONFIG)
    for number in range(56):
        witness.append(log, [b"%d " % number * 40])
    return Image(files), witness


@pytest.mark.parametrize("field", FIELDS)
def test_a_later_batch_is_whole_and_says_what_is_not_known_of_it(field: str) -> None:
    image, _ = written()
    later = of_later(image.content(image.stores[0]), field)
    with pytest.raises(MalformedBatchError, match="supported"):
        parse_header(later)


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("which", [-1, -2, 2], ids=["the last batch", "the one before", "one in the middle"])
def test_batches_of_a_later_format_are_neither_cut_nor_called_damage(field: str, which: int) -> None:
    image, _ = written()
    store = image.stores[-1]
    content = image.content(store)
    position, header = list(scan.headers(content))[which]
    end = position + header.batch_bytes
    content = content[:position] + of_later(content[position:end], field) + content[end:]
    image.files.content(store)[:] = content
    before = {path: bytes(image.files.content(path)) for path in image.stores}
    with pytest.raises(StorageError, match="not known here"):
        open_log(files=image.files, config=CONFIG, seed=4)
    assert {path: bytes(image.files.content(path)) for path in image.stores} == before
