"""Ask access rules, without an agent: may SUBJECT do ACTION? Without both, list who may do what.

Exits 1 when it may not. Rules that an agent would refuse are refused here, with the line.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from proglog.cli import output
from proglog.cli.exit_codes import ExitCode
from proglog.cli.output import Column, Format, Row
from proglog.errors import ConfigError, PermissionDeniedError

if TYPE_CHECKING:
    from proglog.security.authorizer import Authorizer

COLUMNS = (Column("subject", "SUBJECT"), Column("action", "ACTION"), Column("allowed", "ALLOWED"))


def main(
    subject: Annotated[
        str | None, typer.Argument(metavar="[SUBJECT]", help="Common name of a certificate", show_default=False)
    ] = None,
    action: Annotated[
        str | None, typer.Argument(metavar="[ACTION]", help="produce, consume or operate", show_default=False)
    ] = None,
    acl_model_file: Annotated[
        Path | None,
        typer.Option("--acl-model-file", envvar="PROGLOG_ACL_MODEL_FILE", metavar="FILE", help="Casbin model"),
    ] = None,
    acl_policy_file: Annotated[
        Path | None,
        typer.Option("--acl-policy-file", envvar="PROGLOG_ACL_POLICY_FILE", metavar="FILE", help="Casbin policy"),
    ] = None,
    output_: Annotated[Format, typer.Option("--output", "-o", help="How to write the answer")] = Format.TABLE,
) -> None:
    from proglog.cli.serve_config import choice
    from proglog.security.authorizer import CasbinAuthorizer

    actions = ("produce", "consume", "operate")
    if acl_model_file is None or acl_policy_file is None:
        raise ConfigError("acl needs both --acl-model-file and --acl-policy-file")
    rules = CasbinAuthorizer(acl_model_file, acl_policy_file)
    subjects = [subject] if subject is not None else rules.subjects()
    asked = [choice("ACTION", action, actions)] if action is not None else actions
    answers = [(each, what, _allowed(rules, each, what)) for each in subjects for what in asked]
    output.rows([_row(*answer) for answer in answers], COLUMNS, output_, empty="no subject has a rule")
    if subject is not None and not all(allowed for *_, allowed in answers):
        raise typer.Exit(ExitCode.REFUSED)


def _allowed(rules: "Authorizer", subject: str, action: str) -> bool:
    try:
        rules.authorize(subject, "*", action)
    except PermissionDeniedError:
        return False
    return True


def _row(subject: str, action: str, allowed: bool) -> Row:
    facts = {"subject": subject, "action": action}
    return Row(facts | {"allowed": "yes" if allowed else "no"}, facts | {"allowed": allowed}, "" if allowed else "warn")
