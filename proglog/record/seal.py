"""The seal of a batch: four bytes that only the directory which stamped it could have made.

An origin's key is 16 random bytes in the file ``origin`` of its data directory. It never leaves the directory, but with
a copy of it: so a batch under an origin's seal that this directory does not hold proves that the directory has a double
- a clone that writes, or its own later self before it was rolled back::

    seal = BLAKE2b-32(key, the header's portable part without seal, checksum and chain + payload's CRC + chain before)

A forger without the key has one chance in 2^32 for each batch; who checks batches bounds how often they may be tried.
Batches of earlier releases, and gaps, which any node may write, have the seal 0: they prove nothing.

Two processes that write under one origin know it from each other before either has written: each answers the other's
random number with a :func:`kinship` that only the key gives.

Source: RFC 7693.
"""

from hashlib import blake2b
from struct import Struct

from proglog.record.batch import HEADER_BYTES, VerifiedBatch, chain_before, portable_unsealed

KEY_BYTES = 16
UNSEALED = 0

_U32 = Struct("<I")
_CRC_AND_CHAIN = Struct("<II")


def seal_of(key: bytes, unsealed: bytes, payload_crc: int, previous_chain: int) -> int:
    """Return the seal of a batch.

    Args:
        key: The origin's, ``KEY_BYTES`` long; empty: the batch is not sealed.
        unsealed: Bytes 36..128 of its header, with chain checksum and seal 0.
        payload_crc: Checksum of its payload.
        previous_chain: Chain checksum of the origin's batch before.
    """
    if not key:
        return UNSEALED
    mac = blake2b(unsealed + _CRC_AND_CHAIN.pack(payload_crc, previous_chain), digest_size=4, key=key)
    return int(_U32.unpack(mac.digest())[0])


def is_sealed(batch: VerifiedBatch, key: bytes) -> bool:
    """Return whether ``key`` sealed ``batch``, and the batch is as it was then."""
    if not key or batch.header.is_gap:
        return False
    unsealed = portable_unsealed(bytes(batch.data[36:HEADER_BYTES]))
    return batch.header.seal == seal_of(key, unsealed, batch.payload_crc, chain_before(batch))


def kinship(key: bytes, prover: bytes, verifier: bytes) -> bytes:
    """Return what shows the process ``verifier`` that the process ``prover`` has the key of their origin.

    Args:
        key: Of the origin.
        prover: Random bytes of one process.
        verifier: Random bytes of the other, chosen for this life of it: an answer is of no other use.
    """
    return blake2b(prover + verifier, digest_size=16, key=key, person=b"kinship").digest() if key else b""
