"""Status answers made of random values of each field's type: whatever an agent says, its readers only show or refuse it."""

import pytest

from kit.fuzz import Fuzz
from proglog.api.v1 import cluster_pb2 as pb
from proglog.cli import tables
from proglog.errors import ProglogError
from proglog.observe import lag
from proglog.observe.copies_view import rows as copy_rows
from proglog.observe.health import findings
from proglog.wire.convert import from_message

ANSWERS = 150
ORIGINS = (bytes(16), bytes(range(16)), b"\xff" * 16)


@pytest.mark.parametrize("seed", range(2))
def test_whatever_a_status_says_it_is_shown_or_refused(seed: int) -> None:
    fuzz, shown = Fuzz(seed, ORIGINS), 0
    for _ in range(ANSWERS):
        message = fuzz.fill(pb.Status())
        assert isinstance(message, pb.Status)
        try:
            snapshot = from_message(message)
        except ProglogError:
            continue
        shown += 1
        for finding in findings(snapshot):
            assert finding.key
        lag.of_node(snapshot)
        tables.status(snapshot)
        tables.status_shape(snapshot)
        tables.members(snapshot)
        tables.lag(snapshot)
        copy_rows(snapshot)
    assert shown > ANSWERS / 2
