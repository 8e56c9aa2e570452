"""Show an agent's tags, or change them until its next start (serve --tag sets them at the start).

proglog tags
proglog tags --set rack=7 --delete old
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from proglog.cli import options, output
from proglog.cli.output import Format, Table
from proglog.cli.serve_config import tag_of
from proglog.cli.shapes import Shape
from proglog.observe.columns import Column

if TYPE_CHECKING:
    from proglog.client import Client


@dataclass(frozen=True, slots=True)
class Tag:
    """A tag."""

    name: str
    value: str


TAGS_SHAPE = Shape("tags", Tag)
SHAPES = (TAGS_SHAPE,)
TAGS: Table[Tag] = Table(
    columns=(
        Column(title="TAG", value=lambda tag: tag.name, limit=100),
        Column(title="VALUE", value=lambda tag: tag.value, limit=512),
    ),
    shape=TAGS_SHAPE,
    empty="no tags",
)


def main(
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Set a tag; repeatable")] = None,
    delete: Annotated[
        list[str] | None, typer.Option("--delete", metavar="NAME", help="Delete a tag; repeatable")
    ] = None,
    output_: options.Output = Format.TABLE,
    *,
    agent: options.AgentFlags,
) -> None:
    changed = dict(tag_of(text) for text in set_ or ())

    async def change(client: "Client") -> list[Tag]:
        found = await client.membership.set_tags(changed, delete=delete or ())
        return [Tag(*each) for each in sorted(found.items())]

    output.items(agent.with_client(change), TAGS, output_)
