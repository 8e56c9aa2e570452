"""Show an agent's tags, or change them until its next start (serve --tag sets them at the start)."""

from typing import TYPE_CHECKING, Annotated

import typer

from proglog.cli import options, output
from proglog.cli.output import Format, Table
from proglog.cli.serve_config import tag_of
from proglog.observe.columns import Column

if TYPE_CHECKING:
    from proglog.client import Client

TAGS: Table[tuple[str, str]] = Table(
    columns=(
        Column(title="TAG", value=lambda tag: tag[0], limit=100),
        Column(title="VALUE", value=lambda tag: tag[1], limit=512),
    ),
    data=lambda tag: {"name": tag[0], "value": tag[1]},
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

    async def change(client: "Client") -> list[tuple[str, str]]:
        return sorted((await client.membership.set_tags(changed, delete=delete or ())).items())

    output.items(agent.with_client(change), TAGS, output_)
