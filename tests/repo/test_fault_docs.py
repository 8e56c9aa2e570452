"""The table of faults has those that are injected."""

import re
from pathlib import Path

from tests.cluster.test_faults import FAULTS

PAGE = Path(__file__).parents[2] / "docs/reference/faults.md"


def test_the_page_has_every_fault_at_every_node() -> None:
    rows = re.findall(r"^\| (.*?) ?\| ([abc]) \| [0-3] (\w+).*? \| [0-3] (\w+).* \|$", PAGE.read_text(), re.MULTILINE)
    assert [fault for fault, node, _, _ in rows if node == "a"] == [fault.name for fault in FAULTS]
    assert [node for _, node, _, _ in rows] == ["a", "b", "c"] * len(FAULTS)
