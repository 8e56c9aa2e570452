"""List the user events that an agent received; with --follow, print new ones as they arrive."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from proglog import clock
from proglog.cli import options, output
from proglog.cli.output import Format, Table
from proglog.observe.columns import Column
from proglog.observe.safe_text import safe_text
from proglog.observe.words import age_words

if TYPE_CHECKING:
    from proglog.client import Client
    from proglog.client.membership_client import UserEventSeen


def _payload(event: "UserEventSeen") -> str:
    return event.payload.decode("utf-8", "backslashreplace")


def _data(event: "UserEventSeen") -> Mapping[str, object]:
    return {"name": event.name, "payload": _payload(event), "ltime": event.ltime, "at_ms": event.at_ms}


EVENTS: Table["UserEventSeen"] = Table(
    columns=(
        Column(
            title="TOLD",
            value=lambda event: event.at_ms,
            words=lambda at_ms: age_words(at_ms, clock.now_ms()),
            right=True,
        ),
        Column(title="LTIME", value=lambda event: event.ltime, right=True, rank=1),
        Column(title="EVENT", value=lambda event: event.name, limit=60),
        Column(title="PAYLOAD", value=_payload, limit=400),
    ),
    data=_data,
    empty="no user events since this agent started: `proglog event NAME` sends one",
)


def main(
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Print new events as they arrive")] = False,
    output_: options.Output = Format.TABLE,
    *,
    agent: options.AgentFlags,
) -> None:
    async def show(client: "Client") -> None:
        kept = []
        async for event in client.membership.events(follow=follow):
            if not follow:
                kept.append(event)
            elif output_ in (Format.JSON, Format.JSONL):
                output.line(json.dumps(_data(event)))
                output.flush()
            else:
                at = datetime.fromtimestamp(event.at_ms / 1000).astimezone().isoformat(timespec="milliseconds")
                output.line("\t".join((at, safe_text(event.name), safe_text(_payload(event)))))
                output.flush()
        if not follow:
            output.items(kept, EVENTS, output_)

    agent.with_client(show)
