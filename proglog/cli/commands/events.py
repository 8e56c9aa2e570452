"""List the user events that an agent received; with --follow, print new ones as they arrive.

proglog events
proglog events -o jsonl
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from proglog import clock
from proglog.cli import options, output, zone
from proglog.cli.output import Format, Table
from proglog.cli.shapes import Shape
from proglog.observe.columns import Column
from proglog.observe.safe_text import safe_text
from proglog.observe.words import age_words

if TYPE_CHECKING:
    from proglog.client import Client
    from proglog.client.membership_client import UserEventSeen


def _payload(event: "UserEventSeen") -> str:
    return event.payload.decode("utf-8", "backslashreplace")


@dataclass(frozen=True, slots=True, kw_only=True)
class EventShape:
    """A user event, as the agent received it."""

    name: str
    payload: str
    """What is not UTF-8 in it is escaped."""
    ltime: int
    """Its Lamport time: of two events, the later has the higher one."""
    at_ms: int
    """When the agent received it."""


def _shaped(event: "UserEventSeen") -> EventShape:
    return EventShape(name=event.name, payload=_payload(event), ltime=event.ltime, at_ms=event.at_ms)


EVENTS_SHAPE = Shape("events", EventShape, identity=("name", "ltime"))
SHAPES = (EVENTS_SHAPE,)


EVENTS: Table["UserEventSeen"] = Table(
    columns=(
        Column(
            title="RECEIVED",
            value=lambda event: event.at_ms,
            words=lambda at_ms: age_words(at_ms, clock.now_ms()),
            right=True,
        ),
        Column(title="LTIME", value=lambda event: event.ltime, right=True, rank=1),
        Column(title="EVENT", value=lambda event: event.name, limit=60),
        Column(title="PAYLOAD", value=_payload, limit=400),
    ),
    shape=EVENTS_SHAPE,
    data=_shaped,
    empty="no user events since this agent started: `proglog event NAME` sends one",
)


def main(
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Print new events as they arrive")] = False,
    output_: options.Output = Format.TABLE,
    *,
    agent: options.AgentFlags,
) -> None:
    async def show(client: "Client") -> None:
        if not follow:
            output.items([event async for event in client.membership.events(follow=False)], EVENTS, output_)
            return
        if output_ is Format.TABLE:
            async for event in client.membership.events(follow=True):
                output.line(f"{zone.clock(event.at_ms)}  {safe_text(event.name)}  {safe_text(_payload(event))}")
                output.flush()
            return
        with output.Listing(EVENTS_SHAPE, output_) as listing:
            async for event in client.membership.events(follow=True):
                listing.add(_shaped(event))
                output.flush()

    agent.with_client(show)
