"""Explain what verbs share: ranges, formats, the environment, exit codes, consumers. Without TOPIC, list the topics.

proglog help
proglog help ranges
"""

from dataclasses import dataclass
from typing import Annotated

import typer

from proglog.cli import front, options, output
from proglog.cli.front import nearest
from proglog.cli.output import Format
from proglog.cli.shapes import Shape
from proglog.cli.topics import TOPICS
from proglog.cli.verbs import VERBS
from proglog.errors import ConfigError


@dataclass(frozen=True, slots=True)
class TopicShape:
    """A topic."""

    name: str
    summary: str
    text: str


LISTED = Shape("help", TopicShape)
TOPIC = Shape("help-topic", TopicShape, many=False)
SHAPES = (LISTED, TOPIC)


def main(
    topic: Annotated[str, typer.Argument(metavar="[TOPIC]", help="A listed topic, or a verb")] = "",
    output_: options.Output = Format.TABLE,
) -> None:
    if topic in TOPICS:
        text = TOPICS[topic][1].rstrip("\n")
        output.one(TopicShape(topic, TOPICS[topic][0], text), TOPIC, output_, [front.filled(text)])
    elif topic in VERBS:
        from proglog.cli.app import invoke

        raise typer.Exit(invoke([topic, "--help"]))
    elif topic:
        meant = nearest(topic, [*TOPICS, *VERBS])
        raise ConfigError(
            f"{topic!r:.60} is no topic" + (f"; did you mean {meant}?" if meant else f": {', '.join(TOPICS)}")
        )
    elif output_ is not Format.TABLE:
        with output.Listing(LISTED, output_) as listing:
            for name, (line, text) in TOPICS.items():
                listing.add(TopicShape(name, line, text))
    else:
        for name, (line, _) in TOPICS.items():
            output.line(f"  proglog help {name:<12} {line}")
        output.line("  proglog help VERB         the same as proglog VERB --help")
