"""The soak of `make soak`, for seconds: a mixed cluster in peace, with each kind of traffic once."""

import os
from pathlib import Path

from kit.soak.report import Report
from kit.soak.run import OURS, STOCK, TIMETABLE, Soak
from kit.soak.usage import usage

SECONDS = 7.0


async def test_a_mixed_cluster_in_peace_reports_nobody_as_failed(tmp_path: Path) -> None:
    interim = list[float]()
    soak = Soak(tmp_path, seconds=SECONDS, interim=lambda report: interim.append(report.seconds))

    report = await soak.run()

    assert report.problems == []
    assert report.refused == []
    assert set(report.done) == set(TIMETABLE)
    assert len(interim) == len(report.samples) > 1
    for node in (*STOCK, *OURS):
        assert 5_000 < max(report.rss_kib(node)) < 300_000
        assert report.cpu_share(node) < 0.5
        assert node in str(report)
        assert report.as_json()["nodes"][node]["failed"] == 0


def test_a_process_that_has_ended_has_no_usage() -> None:
    pid = os.posix_spawn("/bin/true", ["true"], {})
    os.waitpid(pid, 0)

    assert usage(pid) is None
    assert (own := usage(os.getpid())) is not None
    assert own.rss_kib > 1000


def test_a_report_without_samples_has_figures_of_zero() -> None:
    report = Report()

    assert report.cpu_share("s1") == 0.0
    assert report.rss_kib("s1") == []
    assert "no traffic" in str(report)
