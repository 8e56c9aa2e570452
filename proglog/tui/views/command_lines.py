"""The command lines that do in a shell what the dashboard does on the screen: one for each action that has one.

They say what is on the screen now: the agent with its TLS files, the recording with its moment, the filter, the row
under the cursor. Names and addresses in them come from strangers: what a shell might read otherwise is quoted, and what
no terminal should get at all makes no command.
"""

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from proglog.record.record import StoredRecord
from proglog.wire.model import Member, PeerStatus, Segment

_TAIL = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What is on the screen."""

    addr: str = ""
    """Of the agent that is watched; empty: a recording is shown."""
    tls: tuple[str, ...] = ()
    """The flags of the three TLS files, if there are any."""
    replay: str = ""
    """The recording."""
    at: str = ""
    """Moment of the recording; empty: its end."""
    panel: str = ""
    """Panel with the focus."""
    needle: str = ""
    """The filter that is on."""
    row: object = None
    """What the cursor is on."""

    @property
    def source(self) -> tuple[str, ...]:
        """Flags that say where the data comes from."""
        if self.replay:
            return ("--replay", self.replay, *(("--at", self.at) if self.at else ()))
        return self.agent(self.addr)

    def agent(self, addr: str) -> tuple[str, ...]:
        """Flags for an agent with the same credentials."""
        return ("--addr", addr, *self.tls)

    @property
    def watch(self) -> tuple[str, ...]:
        """The flag that keeps reading; nothing changes in a recording."""
        return () if self.replay else ("--watch",)


Command = tuple[str, ...]
"""A verb and its arguments."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Equivalent:
    """A command line that does what an action does."""

    action: str
    """Id of the action's binding; empty: the dashboard shows it all the time."""
    command: Command
    words: str
    """What it prints or does."""
    needle: str = ""
    """What its output is searched for."""

    @property
    def line(self) -> str:
        """The line, ready to be pasted."""
        line = shlex.join(("proglog", *self.command))
        if not self.needle:
            return line
        inverse, text = ("v", self.needle[1:]) if self.needle.startswith("!") else ("", self.needle)
        return f"{line} | grep -{inverse}iF -- {shlex.quote(text)}"


Maker = Callable[[Scene], Command | None]


def _member(scene: Scene) -> str:
    """Return the address of the member under the cursor."""
    return scene.row.rpc_addr if isinstance(scene.row, Member | PeerStatus) and not scene.replay else ""


def _table(scene: Scene) -> str:
    """Return the verb whose table the panel is."""
    return {"members": "members", "replication": "lag", "segments": "segments"}.get(scene.panel, "")


def _opened(scene: Scene) -> Command | None:
    row = scene.row
    if isinstance(row, Segment) and scene.addr:
        return ("consume", *scene.source, f"{row.base_offset}:{row.end_offset}")
    if isinstance(row, StoredRecord) and scene.addr:
        return ("consume", *scene.source, "-o", "jsonl", f"{row.offset}:{row.offset + 1}")
    return ("status", *scene.agent(_member(scene))) if _member(scene) else None


def _tail(scene: Scene) -> Command | None:
    return ("consume", *scene.source, "--follow", "--", f"-{_TAIL}") if scene.addr else None


def _from_here(scene: Scene) -> Command | None:
    row = scene.row
    return ("consume", *scene.source, f"{row.offset}:") if isinstance(row, StoredRecord) and scene.addr else None


def _value(scene: Scene) -> Command | None:
    row = scene.row
    if not isinstance(row, StoredRecord) or not scene.addr:
        return None
    return ("consume", *scene.source, f"{row.offset}:{row.offset + 1}")


def _removed(scene: Scene) -> Command | None:
    return (
        ("force-leave", *scene.source, "--", scene.row.name) if isinstance(scene.row, Member) and scene.addr else None
    )


_FILTERED = frozenset({"members", "lag", "segments"})
"""Verbs whose lines are the rows that a filter chose."""

MAKERS: Sequence[tuple[str, str, Maker]] = (
    ("main.members", "The members, as they change", lambda scene: ("members", *scene.source, *scene.watch)),
    ("main.throughput", "The agent and its log, as they change", lambda scene: ("status", *scene.source, *scene.watch)),
    ("main.replication", "How far each copy trails", lambda scene: ("lag", *scene.source, *scene.watch)),
    ("main.copies", "How many copies there are of every record", lambda scene: ("copies", *scene.source, *scene.watch)),
    (
        "main.consumers",
        "Where named consumers are",
        lambda scene: ("positions", *scene.source) if scene.addr else None,
    ),
    ("main.segments", "The segments of the log", lambda scene: ("segments", *scene.source)),
    ("main.filter", "These rows", lambda scene: (_table(scene), *scene.source) if _table(scene) else None),
    (
        "main.copy-json",
        "All rows of the panel as JSON",
        lambda scene: (_table(scene), *scene.source, "--output", "json") if _table(scene) else None,
    ),
    ("table.open", "What is under the cursor", _opened),
    (
        "app.alerts",
        "What needs attention, as words and as an exit code",
        lambda scene: ("check", "--explain", *scene.source) if scene.addr else None,
    ),
    ("main.tail", "The records at the end of the log, as they come", _tail),
    ("main.remove", "Removes the member, without asking", _removed),
    (
        "main.watch",
        "Watches from the member under the cursor",
        lambda scene: ("dash", *scene.agent(_member(scene))) if _member(scene) else None,
    ),
    ("records.tail", "The records at the end of the log, as they come", _tail),
    ("records.goto", "The records from the one under the cursor on", _from_here),
    ("records.copy", "The value under the cursor, byte for byte", _value),
    ("records.copy-json", "The record under the cursor as JSON", _opened),
    (
        "app.save",
        "Writes all that is shown to a file",
        lambda scene: ("dash", *scene.source, "--record", "proglog.sqlite") if scene.addr else None,
    ),
    ("", "The agent, its log and its peers", lambda scene: ("status", *scene.source)),
)


def equivalents(scene: Scene) -> list[Equivalent]:
    """Return the command lines for what is on the screen."""
    found = []
    for action, words, make in MAKERS:
        command = make(scene)
        if command is None or not all(_is_harmless(part) for part in command):
            continue
        needle = scene.needle if command[0] in _FILTERED and _is_harmless(scene.needle) else ""
        needle = needle if command[0] == _table(scene) and "--watch" not in command else ""
        found.append(Equivalent(action=action, command=command, words=words, needle=needle))
    return found


def _is_harmless(part: str) -> bool:
    """Tell whether a terminal can be given a part, once it is quoted."""
    return part.isprintable()
