"""Send a query to the members of the cluster, as `serf query` does, and print their answers.

Scripts answer for each member (serve --event-handler query:NAME=SCRIPT). Stock Serf agents also receive the query.
"""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from proglog.cli import diagnostics, options, output
from proglog.cli.output import Format
from proglog.cli.quantities import duration
from proglog.cli.serve_config import tag_of
from proglog.observe.safe_text import safe_text

if TYPE_CHECKING:
    from proglog.client import Client


def main(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the query")],
    payload: Annotated[str, typer.Argument(metavar="[PAYLOAD]", help="Payload of the query")] = "",
    node: Annotated[
        list[str] | None, typer.Option("--node", metavar="NAME", help="Query only this member; repeatable")
    ] = None,
    tag: Annotated[
        list[str] | None,
        typer.Option("--tag", metavar="NAME=RE2", help="Query only members whose tag matches; repeatable"),
    ] = None,
    no_ack: Annotated[bool, typer.Option("--no-ack", help="Request no acknowledgements")] = False,
    relay_factor: Annotated[
        int, typer.Option("--relay-factor", metavar="N", help="Members that also relay each answer")
    ] = 0,
    for_: Annotated[
        str | None, typer.Option("--for", metavar="D", help="How long to wait: 500ms, 10s; default: about 3s")
    ] = None,
    output_: options.Output = Format.TABLE,
    *,
    agent: options.AgentFlags,
) -> None:
    seconds = None if for_ is None else duration("--for", for_)
    tags = dict(tag_of(text) for text in tag or ())
    acks: list[str] = []
    answers: dict[str, str] = {}

    async def ask(client: "Client") -> None:
        data = payload.encode("utf-8", "surrogateescape")
        asked = client.membership.query(
            name, data, nodes=node or (), tags=tags, ack=not no_ack, relay_factor=relay_factor, seconds=seconds
        )
        async for reply in asked:
            if reply.payload is None:
                acks.append(reply.node)
            else:
                answers[reply.node] = reply.payload.decode("utf-8", "backslashreplace")
            if output_ in (Format.TABLE, Format.PLAIN):
                said = "acknowledged" if reply.payload is None else f"answered\t{answers[reply.node].rstrip()}"
                output.line("\t".join(safe_text(each) for each in (reply.node, *said.split("\t", 1))))
                output.flush()

    agent.with_client(ask)
    if output_ in (Format.JSON, Format.JSONL):
        output.line(json.dumps({"acks": sorted(acks), "answers": dict(sorted(answers.items()))}))
        output.flush()
    diagnostics.note(f"acknowledgements: {len(acks)}, answers: {len(answers)}")
