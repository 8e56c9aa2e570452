"""Every flag has a variable, and a variable that sets no flag is noticed."""

import json

import pytest

from proglog.cli.app import invoke, verb
from proglog.cli.variable_names import NAMES
from proglog.cli.variables import options, strangers
from proglog.cli.verbs import VERBS


def test_every_flag_of_every_verb_has_a_variable() -> None:
    without = {(name, each.name) for name in VERBS for each in options(verb(name)) if each.envvar not in NAMES}

    assert without == set()


def test_a_variable_sets_its_flag(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PROGLOG_LIMIT", "-7")

    assert invoke(["consume"]) == 2
    assert "--limit -7" in capsys.readouterr().err


def test_a_variable_that_sets_nothing_is_reported_with_what_was_meant() -> None:
    assert list(strangers({"PROGLOG_RPC_PRT": "7", "PROGLOG_ADDR": "a:1", "HOME": "/"})) == [
        "PROGLOG_RPC_PRT sets no flag; did you mean PROGLOG_RPC_PORT?"
    ]
    assert list(strangers({"PROGLOG_XYZZY": ""})) == ["PROGLOG_XYZZY sets no flag"]


def test_the_spec_is_the_command_tree_as_one_json_document(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["spec"]) == 0
    tree = json.loads(capsys.readouterr().out)

    assert [each["name"] for each in tree["verbs"]] == list(VERBS)
    (addr,) = (flag for flag in tree["verbs"][3]["flags"] if "--addr" in flag["names"])
    assert addr["variable"] == "PROGLOG_ADDR"
    assert tree["exit_codes"]["3"] == "cannot connect"


@pytest.mark.parametrize("topic", ["", "ranges", "formats", "environment", "exit-codes", "consumers", "members"])
def test_help_explains_each_topic(capsys: pytest.CaptureFixture[str], topic: str) -> None:
    assert invoke(["help", topic] if topic else ["help"]) == 0
    said = capsys.readouterr().out
    assert topic in said or topic not in VERBS
    assert max(map(len, said.splitlines())) <= 120


def test_a_topic_that_there_is_not_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["help", "rnages"]) == 2
    assert "did you mean ranges?" in capsys.readouterr().err
