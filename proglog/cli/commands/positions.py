"""List the named positions of consumers (consume --as NAME), move one, or delete one.

`positions` lists them: how many records each is behind, and its last commit. `positions set NAME RANGE` moves NAME to where
RANGE starts, after printing what its consumer would get again or miss; it asks on a terminal, elsewhere it needs --yes.
Stop the consumer first: one that runs refuses to commit afterwards. `positions delete NAME` forgets it.
`positions NAME --reset` starts NAME over, at no place and without an owner: for a position whose epoch or owner shuts its
consumer out.

    proglog positions
    proglog positions set nightly @1h --dry-run
    proglog positions set nightly start --yes
    proglog positions delete nightly --yes
"""

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from proglog import clock
from proglog.cli import diagnostics, names, options, output, selection
from proglog.cli.output import Format, Table
from proglog.cli.shapes import Shape
from proglog.errors import ConfigError, NotFoundError
from proglog.observe.columns import Column
from proglog.observe.words import age_words, count_words

if TYPE_CHECKING:
    from proglog.client import Client
    from proglog.client.cursor import Cursor
    from proglog.client.positions import NamedPosition


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionShape:
    """A named position."""

    name: str
    records_behind: int
    """Records in the agent's log that it has not had; far from the end, at most that many."""
    committed_at_ms: int
    epoch: int
    """Grows when it is moved by hand or started over."""
    owner: str | None
    """Who may commit it; null: anybody."""
    cursor: str
    """For `consume cursor:...`."""
    origins: dict[str, int]
    """The next sequence of each origin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveShape:
    """A position that was moved or deleted, or would be, with --dry-run."""

    name: str
    step: Literal["set", "delete", "reset"]
    done: bool
    """false: a dry run, or not confirmed."""
    replayed: int
    """Records that its consumer gets again."""
    skipped: int
    """Records that its consumer will not get."""
    cursor: str
    """The new position; null: deleted."""


def _shaped(position: "NamedPosition") -> PositionShape:
    return PositionShape(
        name=position.name,
        records_behind=position.records_behind,
        committed_at_ms=position.committed_at_ms,
        epoch=position.epoch,
        owner=position.owner or None,
        cursor=position.cursor.token(),
        origins={origin.hex(): sequence for origin, sequence in position.cursor.positions.items()},
    )


LISTED = Shape("positions", PositionShape)
MOVED = Shape("position-moved", MoveShape, many=False)
SHAPES = (LISTED, MOVED)
POSITIONS: Table["NamedPosition"] = Table(
    columns=(
        Column(title="NAME", value=lambda position: position.name, limit=60),
        Column(title="RECORDS BEHIND", value=lambda position: position.records_behind, words=count_words, right=True),
        Column(
            title="LAST COMMIT",
            value=lambda position: position.committed_at_ms,
            words=lambda at_ms: age_words(at_ms, clock.now_ms()),
            right=True,
        ),
        Column(title="EPOCH", value=lambda position: position.epoch, right=True, rank=2),
        Column(title="OWNER", value=lambda position: position.owner, rank=2, limit=40),
        Column(title="CURSOR", value=lambda position: position.cursor.token(), rank=1, limit=60),
    ),
    shape=LISTED,
    data=_shaped,
    empty="no named positions: `proglog consume --as NAME` makes one",
)
_STEPS = ("list", "set", "delete")


def main(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[list [NAME]|set NAME RANGE|delete NAME]", help="What to do; default: list"),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would change, and change nothing")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask")] = False,
    reset: Annotated[bool, typer.Option("--reset", help="Start NAME over, without an owner")] = False,
    output_: options.Output = output.Format.TABLE,
    *,
    agent: options.AgentFlags,
) -> None:
    step, *rest = words if words and words[0] in _STEPS else ["list", *(words or [])]
    expected = {"list": (0, 1), "set": (2, 2), "delete": (1, 1)}[step]
    if not expected[0] <= len(rest) <= expected[1]:
        usage = {"list": "list [NAME]", "set": "set NAME RANGE", "delete": "delete NAME"}[step]
        raise ConfigError(f"expected `proglog positions {usage}`")
    if step == "list":
        if dry_run or yes:
            raise ConfigError("--dry-run and --yes are for set and delete")
        if reset:
            _reset(rest[0] if rest else "", output_, agent)
        else:
            _list(rest[0] if rest else None, output_, agent)
        return
    if step == "set":
        selection.check(rest[1])

    async def move(client: "Client") -> MoveShape:
        return await _move(client, rest[0], rest[1] if step == "set" else None, ask=not yes, dry_run=dry_run)

    moved = agent.with_client(move)
    output.done(moved, MOVED, output_, _outcome(moved))
    if not moved.done and not dry_run:
        raise typer.Exit(1)


def _reset(name: str, format_: Format, agent: options.AgentFlags) -> None:
    if not name:
        raise ConfigError("--reset needs the NAME of the position: `proglog positions` lists them")
    epoch = agent.with_client(lambda client: client.reset_position(name))
    done = MoveShape(name=name, step="reset", done=True, replayed=0, skipped=0, cursor="")
    output.done(done, MOVED, format_, f"position {name} starts over: its epoch is {epoch}")


def _list(name: str | None, format_: Format, agent: options.AgentFlags) -> None:
    async def positions(client: "Client") -> "list[NamedPosition]":
        found = list(await client.positions(name))
        if name is not None and not found:
            raise NotFoundError(await selection.no_position(client, name))
        return found

    found = agent.with_client(positions)
    if name is None:
        names.remember("positions", (each.name for each in found))
    output.items(found, POSITIONS, format_)


async def _move(client: "Client", name: str, range_: str | None, *, ask: bool, dry_run: bool) -> MoveShape:
    """Move a position to the start of a RANGE, or with ``None`` delete it."""
    from proglog.client.cursor import Cursor
    from proglog.client.positions import check_name

    known = await client.find_position(check_name(name))
    if known is None or known.deleted:
        if range_ is None:
            raise NotFoundError(await selection.no_position(client, name))
        before = Cursor()
    else:
        before = known.cursor
    after = before
    if range_ is not None:
        start, end = await selection.places(client, range_)
        if end is not None:
            raise ConfigError(f"RANGE {range_!r}: a position is one place; leave out what is behind the colon")
        async with client.consume(start, first_contact=0) as consumer:
            await consumer.resolved()
            after = consumer.cursor or Cursor()
    replayed, skipped = difference(before, after) if known is not None and not known.deleted else (0, 0)
    moved = MoveShape(
        name=name,
        step="delete" if range_ is None else "set",
        done=False,
        replayed=replayed,
        skipped=skipped,
        cursor="" if range_ is None else after.token(),
    )
    if dry_run or (ask and not _confirmed(moved)):
        return moved
    target = Cursor() if range_ is None else after
    await client.commit_position(name, target, epoch=known.epoch + 1 if known else 0)
    return MoveShape(name=name, step=moved.step, done=True, replayed=replayed, skipped=skipped, cursor=moved.cursor)


def difference(before: "Cursor", after: "Cursor") -> tuple[int, int]:
    """Return how many sequences a move from one position to another hands out again, and how many it leaves out."""
    replayed = skipped = 0
    for origin in before.positions.keys() | after.positions.keys():
        moved = after.positions.get(origin, 1) - before.positions.get(origin, 1)
        replayed, skipped = replayed + max(0, -moved), skipped + max(0, moved)
    return replayed, skipped


def _confirmed(move: MoveShape) -> bool:
    diagnostics.say(_plan(move))
    if not (sys.stdin is not None and sys.stdin.isatty() and diagnostics.is_terminal()):
        raise ConfigError(f"positions {move.step} changes what a consumer gets: pass --yes, or --dry-run to look first")
    diagnostics.say("Go ahead? [y/N]", end=" ")
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _plan(move: MoveShape) -> str:
    if move.step == "delete":
        return f"{move.name}: forgotten; its next consumer starts at its RANGE, by default the start of the log"
    parts = [
        f"{number:,} record{'s' * (number != 1)} {what}"
        for number, what in ((move.replayed, "handed out again"), (move.skipped, "skipped"))
        if number
    ]
    return f"{move.name}: {' and '.join(parts) or 'nothing handed out again, nothing skipped'}"


def _outcome(move: MoveShape) -> str:
    return _plan(move) if move.done else f"{_plan(move)} (nothing was changed)"
