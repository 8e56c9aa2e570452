"""The gossip keys from one life to the next.

``--encrypt-file`` is the operator's, and never written: it may be a mounted secret. What the cluster made of the keys
while this agent ran (``proglog keys``, ``serf keys``) is kept in ``keyring`` in the data directory, readable by its owner
only, with the digest of the file that it began with::

    the file is what it was     the kept keys are used: a rotation survives a restart
    the file has changed        its keys come first, the first one seals; kept keys still open
"""

import asyncio
import base64
import hashlib
from pathlib import Path
from typing import Any

from proglog.agent.supervisor import Supervisor
from proglog.errors import ConfigError, ProglogError, StorageError
from proglog.gossip.keyring import MAX_KEYS, Keyring, SealMode, parse_keys
from proglog.log import checkpoint
from proglog.log.files import DRAFT_SUFFIX, OsFiles
from proglog.security.files import check_secret
from proglog.telemetry import events
from proglog.telemetry.emit import Emit

RETRY_INTERVAL = 30.0


class KeyringFile:
    """Reads the keys at the start, and keeps what becomes of them."""

    def __init__(
        self,
        encrypt_file: Path | None,
        data_dir: Path,
        tasks: Supervisor,
        emit: Emit,
        mode: SealMode = SealMode.REQUIRED,
    ) -> None:
        """Read both files; ``mode`` is the keyring's.

        Raises:
            ConfigError: ``encrypt_file`` cannot be read, or holds no keys.
        """
        self._path = data_dir / "keyring"
        self._tasks = tasks
        self._emit = emit
        self._changed = asyncio.Event()
        self._unsaved = False
        self._digest = ""
        self._mode = mode
        self.keyring: Keyring | None = None
        """``None`` without ``encrypt_file``: gossip is plain."""
        if encrypt_file is None:
            return
        content = read_keys(encrypt_file)
        self._digest = hashlib.sha256(content).hexdigest()
        given = _parsed(encrypt_file, content, mode)
        self.keyring = self._with_kept(given)

    def changed(self) -> None:
        """Keep the keys, soon."""
        self._unsaved = True
        self._changed.set()

    async def run(self) -> None:
        """Keep each change; one that the disk refuses is tried again."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            if not await self._save():
                await asyncio.sleep(RETRY_INTERVAL)
                self._changed.set()

    async def close(self) -> None:
        """Return when the last change is kept, as far as the disk takes it."""
        if self._unsaved:
            await self._save()

    async def _save(self) -> bool:
        assert self.keyring is not None, "only a keyring changes"
        keys = [base64.b64encode(key).decode() for key in self.keyring.keys]
        try:
            await asyncio.to_thread(self._write, {"began_with": self._digest, "keys": keys})
        except OSError as exc:
            self._emit(events.KEYRING_LOST, "", exc.strerror or str(exc))
            return False
        self._unsaved = False
        return True

    def _write(self, content: dict[str, object]) -> None:
        draft = self._path.with_name(self._path.name + DRAFT_SUFFIX)
        draft.touch(mode=0o600)  # before it holds a key
        checkpoint.save(OsFiles(), self._path, content)

    def _with_kept(self, given: Keyring) -> Keyring:
        try:
            content = checkpoint.load(OsFiles(), self._path) or {}
            kept = checkpoint.parsed(self._path, _kept_keys, content)
        except (OSError, StorageError, ConfigError) as exc:
            self._emit(events.KEYRING_LOST, "", str(exc))
            return given
        if not kept:
            return given
        if content.get("began_with") == self._digest:
            return Keyring(kept, self._mode)
        return Keyring(tuple(dict.fromkeys((*given.keys, *kept)))[:MAX_KEYS], self._mode)


def _kept_keys(content: dict[str, Any]) -> tuple[bytes, ...]:
    texts = content.get("keys", [])
    return parse_keys("\n".join(map(str, texts)).encode()).keys if texts else ()


def read_keys(path: Path) -> bytes:
    """Return what ``--encrypt-file`` holds.

    Raises:
        ConfigError: It cannot be read.
    """
    check_secret(path)
    try:
        return path.read_bytes()
    except OSError as exc:
        raise ConfigError(f"--encrypt-file {path}: {exc.strerror}") from exc


def _parsed(path: Path, content: bytes, mode: SealMode) -> Keyring:
    try:
        return parse_keys(content, mode)
    except ProglogError as exc:
        raise ConfigError(f"--encrypt-file {path}: {exc}") from exc
