"""Send a query to the members of the cluster, as `serf query` does, and print their answers.

Scripts answer for each member (serve --event-handler query:NAME=SCRIPT). Stock Serf agents also receive the query.

    proglog query uptime --for 1s
    proglog query uptime --for 1s -o jsonl
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from proglog.cli import diagnostics, options, output
from proglog.cli.output import Format
from proglog.cli.serve_config import tag_of
from proglog.cli.shapes import Shape
from proglog.observe.safe_text import safe_text
from proglog.quantities import duration

if TYPE_CHECKING:
    from proglog.client import Client


@dataclass(frozen=True, slots=True)
class ReplyShape:
    """A member's reply."""

    node: str
    kind: Literal["ack", "answer"]
    payload: str | None
    """Of an answer; what is not UTF-8 in it is escaped."""


REPLIES = Shape("query", ReplyShape, identity=("node", "kind"))
SHAPES = (REPLIES,)


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
    counts = {"ack": 0, "answer": 0}

    async def ask(client: "Client", show: Callable[[ReplyShape], None]) -> None:
        data = payload.encode("utf-8", "surrogateescape")
        asked = client.membership.query(
            name, data, nodes=node or (), tags=tags, ack=not no_ack, relay_factor=relay_factor, seconds=seconds
        )
        async for reply in asked:
            answer = None if reply.payload is None else reply.payload.decode("utf-8", "backslashreplace")
            shaped = ReplyShape(reply.node, "ack" if answer is None else "answer", answer)
            counts[shaped.kind] += 1
            show(shaped)
            output.flush()

    if output_ is Format.TABLE:
        agent.with_client(lambda client: ask(client, _print))
    else:
        with output.Listing(REPLIES, output_) as listing:
            agent.with_client(lambda client: ask(client, listing.add))
    output.flush()
    diagnostics.note(f"acknowledgements: {counts['ack']}, answers: {counts['answer']}")


def _print(reply: ReplyShape) -> None:
    words = "acknowledged" if reply.payload is None else f"answered  {safe_text(reply.payload.rstrip())}"
    output.line(f"{safe_text(reply.node)}  {words}")
