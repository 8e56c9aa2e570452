"""The gossip keys from one life to the next."""

import base64
from pathlib import Path
from typing import Any

import pytest

from proglog.agent.keyring_file import KeyringFile
from proglog.agent.supervisor import Supervisor
from proglog.errors import ConfigError

A, B, C = bytes(32), bytes(range(32)), bytes(16)


def text(*keys: bytes) -> bytes:
    return b"\n".join(map(base64.b64encode, keys)) + b"\n"


class Life:
    """One life of an agent, with the operator's file as it is."""

    def __init__(self, folder: Path, *given: bytes) -> None:
        self.reports: list[str] = []
        if given:
            (folder / "given").write_bytes(text(*given))
            (folder / "given").chmod(0o600)
        (folder / "data").mkdir(exist_ok=True)
        self.file = KeyringFile(folder / "given", folder / "data", Supervisor(), self._emit)

    def _emit(self, _kind: object, _subject: str = "", detail: str = "", /, **_facts: Any) -> None:
        self.reports.append(detail)

    @property
    def keys(self) -> tuple[bytes, ...]:
        assert self.file.keyring is not None
        return self.file.keyring.keys

    async def rotate(self, old: bytes, new: bytes) -> None:
        assert self.file.keyring is not None
        self.file.keyring.install(new)
        self.file.keyring.use(new)
        self.file.keyring.remove(old)
        self.file.changed()
        await self.file.close()


async def test_a_rotation_survives_a_restart_with_the_old_file(tmp_path: Path) -> None:
    await Life(tmp_path, A).rotate(A, B)
    assert Life(tmp_path).keys == (B,)
    assert (tmp_path / "given").read_bytes() == text(A)  # the operator's file is never written
    kept = tmp_path / "data" / "keyring"
    assert kept.stat().st_mode & 0o777 == 0o600


async def test_a_file_that_has_changed_since_comes_first_and_kept_keys_still_open(tmp_path: Path) -> None:
    await Life(tmp_path, A).rotate(A, B)
    assert Life(tmp_path, C).keys == (C, B)
    assert Life(tmp_path, B).keys == (B,)


async def test_without_a_change_nothing_is_kept(tmp_path: Path) -> None:
    life = Life(tmp_path, A, B)
    await life.file.close()
    assert life.keys == (A, B)
    assert not (tmp_path / "data" / "keyring").exists()


async def test_a_damaged_file_of_kept_keys_is_reported_and_the_given_ones_are_used(tmp_path: Path) -> None:
    await Life(tmp_path, A).rotate(A, B)
    (tmp_path / "data" / "keyring").write_bytes(b"rubbish\n")
    life = Life(tmp_path)
    assert life.keys == (A,)
    assert len(life.reports) == 1


def test_without_a_file_of_keys_gossip_is_plain_and_a_missing_one_is_refused(tmp_path: Path) -> None:
    assert KeyringFile(None, tmp_path, Supervisor(), lambda *_, **__: None).keyring is None
    with pytest.raises(ConfigError, match="--encrypt-file"):
        KeyringFile(tmp_path / "none", tmp_path, Supervisor(), lambda *_, **__: None)
