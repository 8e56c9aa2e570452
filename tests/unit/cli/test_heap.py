"""Memory that one batch has used is there for the next one."""

import subprocess
import sys

import pytest

PROGRAM = """
import resource
from proglog.cli.heap import keep_freed_memory
if not keep_freed_memory():
    raise SystemExit(3)
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
bytes(bytearray(1 << 20))
before = faults()
for _ in range(200):
    bytes(bytearray(1 << 20))
print(faults() - before)
"""


def test_buffers_of_a_batch_are_not_faulted_in_again() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60)
    if done.returncode == 3:
        pytest.skip("this C library has no mallopt")
    assert int(done.stdout) < 10_000  # of the 100,000 pages that were used
