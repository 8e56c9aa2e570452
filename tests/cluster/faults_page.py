"""Makes docs/reference/faults.md of what a long run of :mod:`tests.cluster.test_faults` wrote down."""

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from proglog.cli.check_report import CheckStatus
from tests.cluster.test_faults import EACH, FAULTS

MOST = 110
"""Characters of a cell."""
HEAD = """\
# Faults, and what check says of them

Three agents on hosts of their own, each with records of the others; what is broken is `c`, or what lies between it and the
others. At each node `proglog check` was asked 5 seconds after the fault and again a minute later: its exit code, and the
first thing that it said; the run was on two busy cores. It speaks for the node that is asked, and for the cluster as that
node sees it; *a, all* is `proglog check --each` at `a`, which also asks every living member about itself.

OK is said where nothing is wrong any more: a wiped node has fetched everything again, a directory of the day before
continues as a new origin, and of two nodes with one name the second has lost the vote and ended (`d`, exit code 7; until
then both are critical). A lag that is younger than ten seconds is in flight. A certificate that expires ends no open
stream. Whose seeds are gone is in the cluster as soon as the others, which remember it, call it; a node that meets nobody is
isolated: a warning at once, critical after 30 seconds.

Where nothing is wrong, nothing is said: three agents that took 50,000 records a second for a minute and copied them had not
one finding at any node in any second.

`tests/cluster/test_faults.py` injects each of them and holds what is said a minute later; PROGLOG_LONG=1 runs all.
"""


def page(lines: Iterable[str]) -> str:
    """Return the page of a run, a line of JSON for each fault and node."""
    rows: dict[str, dict[str, Any]] = {}
    for row in map(json.loads, lines):
        rows.setdefault(row["fault"], {})[row["node"]] = row
    missing = [fault.name for fault in FAULTS if fault.name not in rows]
    assert not missing, f"the run lacks {', '.join(missing)}"
    table = ["| fault | node | after 5 s | after a minute |", "|---|---|---|---|"]
    table += [line for fault in FAULTS for line in _rows(fault.name, rows[fault.name])]
    return "\n".join((HEAD, *table, ""))


def _rows(name: str, nodes: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for number, node in enumerate(sorted(nodes, key=lambda each: (each == EACH, each))):
        said = nodes[node]
        asked = "a, all" if node == EACH else node
        yield f"| {name if not number else ''} | {asked} | {_cell(*said['soon'])} | {_cell(*said['later'])} |"


def _cell(code: int, said: str) -> str:
    """Return the exit code, the word for it, and the first thing that was said."""
    first, *more = said.strip().splitlines()
    word = CheckStatus(code).name
    if more:
        reason = more[0].strip().partition(": ")[2] + (f" (and {len(more) - 1} more)" if len(more) > 1 else "")
    else:
        reason = first.partition(": ")[2] if code == CheckStatus.UNKNOWN else ""
    words = re.sub(r"(?:/[\w.@+-]+)+/([\w.-]+)", r"\1", reason).replace("|", "/")  # files by their last name
    words = words if len(words) <= MOST else words[: MOST - 3] + "..."
    return f"{code} {word}" + (f": {words}" if words else "")


if __name__ == "__main__":
    sys.stdout.write(page(Path(sys.argv[1]).read_text().splitlines()))
