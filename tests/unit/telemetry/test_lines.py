"""The thread that writes telemetry's lines."""

import os
import threading

import pytest

from proglog.telemetry.lines import LineWriter


def test_lines_without_a_thread_are_counted_and_the_next_one_tries_again(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    lines = LineWriter(writing)
    start = threading.Thread.start

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    lines.put(b"lost\n")
    assert lines.dropped == 1
    monkeypatch.setattr(threading.Thread, "start", start)
    lines.put(b"written\n")

    assert lines.drain(5)
    assert os.read(reading, 100) == b"written\n"
    os.close(reading)
    os.close(writing)
