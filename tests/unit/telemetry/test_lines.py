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


def test_the_report_of_what_was_dropped_is_not_dropped_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proglog.telemetry.lines.MAX_QUEUED_BYTES", 100)
    reading, writing = os.pipe()
    reported: list[int] = []

    def fill() -> None:
        before = lines.dropped
        while lines.dropped == before:
            lines.put(b"x" * 49 + b"\n")

    def report(dropped: int) -> None:
        if not reported:  # others fill the queue at the worst moment
            filling = threading.Thread(target=fill)
            filling.start()
            filling.join()
        lines.put(b"dropped %d\n" % dropped)
        reported.append(dropped)

    lines = LineWriter(writing, on_dropped=report)
    fill()
    while not lines.drain(5) or sum(reported) < lines.dropped:
        assert lines._thread is not None
        assert lines._thread.is_alive()

    assert lines.drain(5)
    written = os.read(reading, 100_000).splitlines()
    assert [line for line in written if line.startswith(b"dropped")] == [b"dropped %d" % each for each in reported]
    os.close(reading)
    os.close(writing)
