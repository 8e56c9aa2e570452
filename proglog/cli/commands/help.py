"""Explain what verbs share: ranges, formats, the environment, exit codes, consumers. Without TOPIC, list the topics.

proglog help
proglog help ranges
"""

from typing import Annotated

import typer

from proglog.cli import output
from proglog.cli.front import nearest
from proglog.cli.topics import TOPICS
from proglog.cli.verbs import VERBS
from proglog.errors import ConfigError


def main(topic: Annotated[str, typer.Argument(metavar="[TOPIC]", help="A listed topic, or a verb")] = "") -> None:
    if topic in TOPICS:
        output.line(TOPICS[topic][1].rstrip("\n"))
    elif topic in VERBS:
        from proglog.cli.app import invoke

        raise typer.Exit(invoke([topic, "--help"]))
    elif topic:
        meant = nearest(topic, [*TOPICS, *VERBS])
        raise ConfigError(
            f"{topic!r:.60} is no topic" + (f"; did you mean {meant}?" if meant else f": {', '.join(TOPICS)}")
        )
    else:
        for name, (line, _) in TOPICS.items():
            output.line(f"  proglog help {name:<12} {line}")
        output.line("  proglog help VERB         the same as proglog VERB --help")
