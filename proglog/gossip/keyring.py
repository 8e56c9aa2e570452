"""AES-GCM keys of a cluster: the first seals, all open, so keys can be exchanged while the cluster runs.

::

    version (1) | nonce (12) | ciphertext | tag (16)         version 1: as is; version 0: padded to 16 (PKCS#7)

Sent as version 1. The nonce comes from the caller's random source, which in production is the system's.

Source: memberlist ``security.go`` and ``keyring.go``.
"""

import base64
import binascii
import json
from enum import StrEnum

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from proglog.errors import ConfigError
from proglog.gossip.errors import MalformedMessageError

NONCE_BYTES = 12
TAG_BYTES = 16
OVERHEAD_BYTES = 1 + NONCE_BYTES + TAG_BYTES
KEY_BYTES = (16, 24, 32)
MAX_KEYS = 64


class SealMode(StrEnum):
    """The steps from plain to sealed gossip, each taken at every node before the next."""

    ACCEPT = "accept"
    """Accept both, send plain: while some nodes have no key."""
    SEND = "send"
    """Accept both, send sealed: while some nodes still send plain."""
    REQUIRED = "required"
    """Accept and send sealed messages only."""


class Keyring:
    """The keys that this node knows; the first is primary. Never empty."""

    def __init__(self, keys: tuple[bytes, ...], mode: SealMode = SealMode.REQUIRED) -> None:
        """Take ``keys``, 16, 24 or 32 bytes each.

        Args:
            keys: The primary first.
            mode: Whether plain messages are sent and accepted.

        Raises:
            ConfigError: No key, too many, or one of a wrong length.
        """
        if not 1 <= len(keys) <= MAX_KEYS:
            raise ConfigError(f"a keyring has 1 to {MAX_KEYS} keys; this one has {len(keys)}")
        for key in keys:
            _check(key)
        self._ciphers = {key: AESGCM(key) for key in keys}
        self.seals = mode is not SealMode.ACCEPT
        """Whether sent messages are sealed."""
        self.requires = mode is SealMode.REQUIRED
        """Whether received messages must be sealed."""

    @property
    def keys(self) -> tuple[bytes, ...]:
        """All keys, the primary first."""
        return tuple(self._ciphers)

    def install(self, key: bytes) -> None:
        """Add ``key`` for opening.

        Raises:
            ConfigError: A wrong length, or too many keys.
        """
        _check(key)
        if key not in self._ciphers and len(self._ciphers) >= MAX_KEYS:
            raise ConfigError(f"the keyring is full: {MAX_KEYS} keys")
        self._ciphers.setdefault(key, AESGCM(key))

    def use(self, key: bytes) -> None:
        """Make an installed ``key`` the primary.

        Raises:
            ConfigError: It is not installed.
        """
        if key not in self._ciphers:
            raise ConfigError("requested key is not in the keyring")
        self._ciphers = {key: self._ciphers[key], **self._ciphers}

    def remove(self, key: bytes) -> None:
        """Forget ``key``; unknown keys are fine.

        Raises:
            ConfigError: It is the primary.
        """
        if key == self.keys[0]:
            raise ConfigError("removing the primary key is not allowed")
        self._ciphers.pop(key, None)

    def seal(self, plaintext: bytes, *, nonce: bytes, header: bytes = b"") -> bytes:
        """Return ``plaintext`` encrypted with the primary key; ``header`` is authenticated, not included."""
        return b"\x01" + nonce + self._ciphers[self.keys[0]].encrypt(nonce, plaintext, header)

    def open(self, sealed: bytes, *, header: bytes = b"") -> bytes:
        """Return the plaintext of ``sealed``.

        Raises:
            MalformedMessageError: None of the keys opens it.
        """
        if len(sealed) < OVERHEAD_BYTES or sealed[0] > 1:
            raise MalformedMessageError("not an encrypted message: is encryption on at the sender?")
        nonce, ciphertext = sealed[1 : 1 + NONCE_BYTES], sealed[1 + NONCE_BYTES :]
        for cipher in self._ciphers.values():
            try:
                plaintext = cipher.decrypt(nonce, ciphertext, header)
            except InvalidTag:
                continue
            return plaintext if sealed[0] == 1 else _unpad(plaintext)
        raise MalformedMessageError("no key of this node opens the message: is it one of the cluster's?")


def parse_keys(data: bytes, mode: SealMode = SealMode.REQUIRED) -> Keyring:
    """Return the keyring in ``data``: one base64 key a line (``#`` starts a comment), or Serf's JSON array of them.

    Raises:
        ConfigError: Neither, no key, or a key that is not 16, 24 or 32 bytes of base64.
    """
    try:
        text = data.decode()
        lines = json.loads(text) if text.lstrip().startswith("[") else text.splitlines()
    except ValueError as exc:
        raise ConfigError(f"keyring: expected a base64 key per line, or a JSON array of them: {exc}") from exc
    if not all(isinstance(line, str) for line in lines):
        raise ConfigError("keyring: the JSON array must hold strings, each a base64 key")
    words = [line.strip() for line in lines]
    keys = [_parse(word) for word in words if word and not word.startswith("#")]
    return Keyring(tuple(dict.fromkeys(keys)), mode)


def _parse(word: str) -> bytes:
    try:
        key = base64.b64decode(word, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise ConfigError("keyring: a line is not base64; make a key with `openssl rand -base64 32`") from exc
    _check(key)
    return key


def _check(key: bytes) -> None:
    if len(key) not in KEY_BYTES:
        raise ConfigError(f"a gossip key has 16, 24 or 32 bytes; this one has {len(key)}")


def _unpad(plaintext: bytes) -> bytes:
    padding = plaintext[-1] if plaintext else 0
    if not 1 <= padding <= 16 or plaintext[-padding:] != bytes((padding,)) * padding:
        raise MalformedMessageError("encrypted message: wrong padding")
    return plaintext[:-padding]
