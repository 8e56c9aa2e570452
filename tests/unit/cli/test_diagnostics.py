"""What goes to stderr, and what a crash report holds."""

import sys
from pathlib import Path

import pytest

from proglog.cli import diagnostics
from proglog.cli.diagnostics import Verbosity


@pytest.fixture(autouse=True)
def _normal():
    yield
    diagnostics._level[:] = [Verbosity.NORMAL]


def test_a_crash_report_has_versions_and_the_verb_and_no_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("PROGLOG_ADDR", "secret-host:8400")
    monkeypatch.setattr(sys, "argv", ["proglog", "produce", "--key", "secret-key", "--header=token=secret-token"])
    exc = RuntimeError("no luck with secret-key at secret-host:8400, token=secret-token")
    path = diagnostics.bug_report(exc)

    assert path is not None
    report = path.read_text()
    assert "secret" not in report
    assert "command: proglog produce --key --header" in report
    assert "variables: PROGLOG_ADDR" in report
    assert "RuntimeError" in report
    for word in ("proglog 0", "Python 3", "grpcio", "protobuf", "Linux"):
        assert word in report
    assert path.stat().st_mode & 0o077 == 0


def test_quiet_keeps_errors_and_verbose_adds_details(capsys: pytest.CaptureFixture[str]) -> None:
    for level in (Verbosity.QUIET, Verbosity.NORMAL, Verbosity.VERBOSE):
        diagnostics._level[:] = [level]
        diagnostics.note("note")
        diagnostics.detail("detail")
        diagnostics.error("error")

    assert capsys.readouterr().err.split() == [
        *("error:", "error"), *("note", "error:", "error"), *("note", "detail", "error:", "error"),
    ]  # fmt: skip
