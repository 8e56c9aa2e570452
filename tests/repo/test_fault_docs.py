"""The table of faults has every fault that is injected, at every node, with what the injecting test demands."""

import re
from pathlib import Path

from tests.cluster.faults_page import HEAD
from tests.cluster.test_faults import EACH, FAULTS, OK

PAGE = (Path(__file__).parents[2] / "docs/reference/faults.md").read_text()
ROWS = re.findall(r"^\| (.*?) ?\| ([a-d]|a, all) \| ([0-3]) (\w+)(.*?) \| ([0-3]) (\w+)(.*?) \|$", PAGE, re.MULTILINE)


def test_the_page_has_every_fault_at_every_node_as_the_test_demands_it() -> None:
    said = {}
    fault = ""
    for name, node, _, _, _, code, _, words in ROWS:
        fault = name or fault
        said[fault, EACH if node == "a, all" else node] = int(code), words
    assert PAGE.startswith(HEAD)
    assert list(dict.fromkeys(fault for fault, _ in said)) == [fault.name for fault in FAULTS]
    for fault in FAULTS:
        assert {node for name, node in said if name == fault.name} >= {EACH, "a", "b", "c"}
        for node, told in fault.told.items():
            code, words = said[fault.name, node]
            assert code == told.code, (fault.name, node)
            assert told.code == OK or not words or told.words[:40] in words or "more)" in words, (fault.name, node)


def test_nowhere_is_a_fault_ok_that_lasts() -> None:
    """Where the node that is asked does not see it, asking all of them does."""
    seen = {fault.name: any(told.code != OK for told in fault.told.values()) for fault in FAULTS}
    assert [name for name, shown in seen.items() if not shown] == ["wiped", "rolled back"]  # nothing is wrong any more
    for fault in FAULTS:
        worst = max(told.code for node, told in fault.told.items() if node != EACH)
        assert (fault.told[EACH].code != OK) == (worst != OK) or fault.name == "duplicate name"
