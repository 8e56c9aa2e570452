"""Random faults of every kind on five agents: nothing acknowledged is lost, everything heals. ``make chaos`` runs longer."""

import os
import shutil
from pathlib import Path

import pytest

from kit.chaos.run import Chaos

SEED = int(os.environ.get("PROGLOG_SEED", "7"))


@pytest.mark.timeout(900)
@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed: `make tools`")
async def test_random_faults_lose_nothing_and_leave_nothing_broken(tmp_path: Path, long: bool) -> None:
    report = await Chaos(tmp_path, seed=SEED, seconds=3600 if long else 30).run()

    print(report)
    assert report.acknowledged > 1000
    assert report.faults.total() >= 3
    assert report.problems == []
