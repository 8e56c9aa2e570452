"""One node under test, as in the unit tests of gossip."""

from tests.unit.gossip.conftest import bench, make_bench

__all__ = ["bench", "make_bench"]
