"""The checkpoint of a ``produce`` run: how many of its records are in the log, so that the next run sends the others.

The file is written before the first record is sent, and then as records are acknowledged. It names the producer of the
run and the position at its start: after a crash, the records that were acknowledged and not yet counted are found in the
log, by the producer that every batch names. So each record is appended once, whenever the run was killed::

    records = those of earlier runs + the larger of (counted by the file, found in the log)
"""

import json
import os
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from proglog.errors import ConfigError

if TYPE_CHECKING:
    from proglog.client import Client

VERSION = 1
SAVE_SECONDS = 1.0
_TEXTS = ("source", "producer", "cursor")


@dataclass(slots=True, kw_only=True)
class Checkpoint:
    """What is known of a run."""

    source: str
    """The inputs, as given."""
    before: int
    """Records that earlier runs appended."""
    producer: str = ""
    """Of the last run, in hexadecimal digits."""
    cursor: str = ""
    """Everything that was in the log before it."""
    acknowledged: int = 0
    """Of the last run, as far as was written down."""

    @classmethod
    def load(cls, path: Path, source: str) -> "Checkpoint":
        """Read the file; without one, nothing was sent yet.

        Raises:
            ConfigError: It is no checkpoint, or one of other inputs.
        """
        try:
            content = json.loads(path.read_bytes())
        except FileNotFoundError:
            return cls(source=source, before=0)
        except OSError as exc:
            raise ConfigError(f"--checkpoint {path}: {exc.strerror}") from exc
        except (ValueError, RecursionError) as exc:
            raise ConfigError(f"--checkpoint {path} is no checkpoint: {exc}") from exc
        made = _made(content, path)
        if made.source != source:
            raise ConfigError(
                f"--checkpoint {path} is of {made.source!r:.200}, not of {source!r:.200}: a file for each input"
            )
        return made

    def save(self, path: Path) -> None:
        """Write the file, whole or not at all, and have it on the disk.

        Raises:
            ConfigError: It cannot be written.
        """
        beside = path.with_name(path.name + ".new")
        try:
            with beside.open("w", encoding="utf-8") as file:
                file.write(json.dumps({"version": VERSION, **asdict(self)}) + "\n")
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
        except OSError as exc:
            raise ConfigError(f"--checkpoint {path}: {exc.strerror}") from exc

    async def resume(self, client: "Client", count: "Callable[[Client, Checkpoint], Awaitable[int]]") -> int:
        """Return how many records were appended in all, and take them as those of earlier runs."""
        found = await count(client, self) if self.producer else 0
        self.before += max(found, self.acknowledged)
        self.producer, self.cursor, self.acknowledged = "", "", 0
        return self.before


async def found_in_log(client: "Client", run: Checkpoint) -> int:
    """Return how many records of the last run are in the log.

    Raises:
        ProglogError: No agent answered, or what the run may have written is gone.
    """
    from proglog.client.cursor import Cursor

    wanted, count = bytes.fromhex(run.producer), 0
    async with client.consume(Cursor.parse(run.cursor), first_contact=0) as consumer:
        async for fetched in consumer:
            if fetched.batch.header.producer_id == wanted:
                count += fetched.count
    return count


def _made(content: object, path: Path) -> Checkpoint:
    def refuse(why: str) -> ConfigError:
        return ConfigError(f"--checkpoint {path} is no checkpoint: {why}")

    if not isinstance(content, dict) or content.get("version") != VERSION:
        raise refuse(f"expected version {VERSION}")
    for key in ("before", "acknowledged"):
        if not isinstance(content.get(key), int) or isinstance(content[key], bool) or content[key] < 0:
            raise refuse(f"{key} is no count")
    for key in _TEXTS:
        if not isinstance(content.get(key), str):
            raise refuse(f"{key} is no text")
    return Checkpoint(**{key: content[key] for key in ("source", "before", "producer", "cursor", "acknowledged")})
