"""List the named positions of consumers (consume --as NAME): how many records each is behind, and its last commit.

`--reset` starts NAME over, at no place and without an owner: for a position whose epoch or owner shuts its consumer out.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from proglog import clock
from proglog.cli import diagnostics, options, output
from proglog.cli.output import Table
from proglog.errors import ConfigError, NotFoundError
from proglog.observe.columns import Column
from proglog.observe.words import age_words, count_words

if TYPE_CHECKING:
    from proglog.client import Client
    from proglog.client.positions import NamedPosition


_SHOWN = 20
"""Names that are given when another one is not there."""


def _data(position: "NamedPosition") -> Mapping[str, object]:
    return {
        "name": position.name,
        "records_behind": position.records_behind,
        "committed_at_ms": position.committed_at_ms,
        "epoch": position.epoch,
        "owner": position.owner,
        "cursor": position.cursor.token(),
        "origins": {origin.hex(): sequence for origin, sequence in position.cursor.positions.items()},
    }


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
    data=_data,
    empty="no named positions: `proglog consume --as NAME` makes one",
)


def main(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Show only this position")] = None,
    reset: Annotated[bool, typer.Option("--reset", help="Start NAME over, without an owner")] = False,
    output_: options.Output = output.Format.TABLE,
    *,
    agent: options.AgentFlags,
) -> None:
    if reset:
        if not name:
            raise ConfigError("--reset needs the NAME of the position: `proglog positions` lists them")
        epoch = agent.with_client(lambda client: client.reset_position(name))
        diagnostics.note(f"position {name} starts over: its epoch is {epoch}")
        return

    async def positions(client: "Client") -> "list[NamedPosition]":
        return list(await client.positions(name))

    held = agent.with_client(positions)
    if name is not None and not held:
        every = sorted(each.name for each in agent.with_client(lambda client: client.positions()))
        raise NotFoundError(f"there is no position {name!r}; there are: {', '.join(every[:_SHOWN]) or 'none'}")
    output.items(held, POSITIONS, output_)
