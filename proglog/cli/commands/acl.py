"""Check without an agent whether SUBJECT may do ACTION. Without SUBJECT or ACTION, list all of them.

Exits 1 when it may not. Rules that an agent would refuse are refused here, with their line number.

    proglog acl --acl-model-file certs/model.conf --acl-policy-file certs/policy.csv
    proglog acl root produce --acl-model-file certs/model.conf --acl-policy-file certs/policy.csv
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from proglog.cli import options, output
from proglog.cli.exit_codes import ExitCode
from proglog.cli.output import Format, Table
from proglog.cli.shapes import Shape
from proglog.errors import ConfigError, PermissionDeniedError
from proglog.observe.columns import Column
from proglog.observe.spans import Role

if TYPE_CHECKING:
    from proglog.security.authorizer import Authorizer


@dataclass(frozen=True, slots=True)
class Answer:
    """Whether a subject may do an action."""

    subject: str
    action: str
    allowed: bool


ANSWERS_SHAPE = Shape("acl", Answer, identity=("subject", "action"))
SHAPES = (ANSWERS_SHAPE,)
ANSWERS: Table[Answer] = Table(
    columns=(
        Column(title="SUBJECT", value=lambda answer: answer.subject, limit=40),
        Column(title="ACTION", value=lambda answer: answer.action, limit=40),
        Column(title="ALLOWED", value=lambda answer: "yes" if answer.allowed else "no"),
    ),
    shape=ANSWERS_SHAPE,
    empty="no subject has a rule",
    role=lambda answer: Role.TEXT if answer.allowed else Role.WARN,
)


def main(
    subject: Annotated[
        str | None, typer.Argument(metavar="[SUBJECT]", help="Common name of a certificate", show_default=False)
    ] = None,
    action: Annotated[
        str | None,
        typer.Argument(
            metavar="[ACTION]", help="produce, consume, describe, observe, replicate or operate", show_default=False
        ),
    ] = None,
    acl_model_file: Annotated[
        Path | None,
        typer.Option("--acl-model-file", envvar="PROGLOG_ACL_MODEL_FILE", metavar="FILE", help="Casbin model"),
    ] = None,
    acl_policy_file: Annotated[
        Path | None,
        typer.Option("--acl-policy-file", envvar="PROGLOG_ACL_POLICY_FILE", metavar="FILE", help="Casbin policy"),
    ] = None,
    output_: options.Output = Format.TABLE,
) -> None:
    from proglog.cli import diagnostics
    from proglog.cli.serve_config import choice
    from proglog.security.actions import ACTIONS
    from proglog.security.authorizer import CasbinAuthorizer

    if acl_model_file is None or acl_policy_file is None:
        raise ConfigError("acl needs both --acl-model-file and --acl-policy-file")
    rules = CasbinAuthorizer(acl_model_file, acl_policy_file)
    for word in rules.unknown_actions():
        diagnostics.note(
            f"{acl_policy_file} has rules for {word!r}, which is no action: expected one of {', '.join(ACTIONS)}"
        )
    subjects = [subject] if subject is not None else rules.subjects()
    chosen = [choice("ACTION", action, ACTIONS)] if action is not None else ACTIONS
    answers = [Answer(each, what, _allowed(rules, each, what)) for each in subjects for what in chosen]
    output.items(answers, ANSWERS, output_)
    if subject is not None and not all(answer.allowed for answer in answers):
        raise typer.Exit(ExitCode.REFUSED)


def _allowed(rules: "Authorizer", subject: str, action: str) -> bool:
    try:
        rules.authorize(subject, "*", action)
    except PermissionDeniedError:
        return False
    return True
