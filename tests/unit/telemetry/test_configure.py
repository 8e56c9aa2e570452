"""Telemetry: structured, harmless, and never in the way."""

import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from proglog.errors import ConfigError
from proglog.security.devcerts import DevCerts
from proglog.telemetry import lines
from proglog.telemetry.configure import configure, harmless
from proglog.telemetry.emit import threshold


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    # asyncio reports what earlier tests left behind whenever that is collected: not among the lines counted here.
    monkeypatch.setattr(logging.getLogger("asyncio"), "disabled", True)
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    monkeypatch.setattr(threshold, "level", threshold.level)
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class BrokenPipe(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError(32, "Broken pipe")


def test_an_event_is_one_json_object_a_line_when_the_stream_is_no_terminal() -> None:
    stream = io.StringIO()
    configure(stream=stream)

    structlog.get_logger().info("segment_rolled", base_offset=7, peer="\x1b[31m\nforged")

    (line,) = stream.getvalue().splitlines()
    event = json.loads(line)
    assert (event["event"], event["level"], event["base_offset"]) == ("segment_rolled", "info", 7)
    assert event["peer"] == "\x1b[31m\nforged"
    assert "\x1b" not in line


def test_an_event_is_a_line_for_people_on_a_terminal() -> None:
    stream = Terminal()
    configure(stream=stream)

    structlog.get_logger().info("segment_rolled", base_offset=7)

    assert "segment_rolled" in stream.getvalue()
    assert "base_offset" in stream.getvalue()
    assert not stream.getvalue().startswith("{")


@pytest.mark.parametrize(
    "hostile", ["\x1b]52;c;AAAA\x07", "a\nforged line", "\u202egnp.exe", "\x9b31m", "\r\x08", "\udc80"]
)
def test_no_value_and_no_key_reaches_a_terminal_with_its_controls(hostile: str) -> None:
    event = harmless(
        None,
        "info",
        {"event": hostile, hostile: 1, "peer": hostile, "nested": [hostile], "raw": hostile.encode("utf-8", "replace")},
    )

    assert all(str(part).isprintable() for item in event.items() for part in item)
    assert event["peer"] != hostile


def test_a_hostile_value_stays_on_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    stream = io.StringIO()
    configure(stream=stream, style="console")

    structlog.get_logger().warning("batch_rejected", peer="x\n2030-01-01 [error] forged\x1b[2J")
    logging.getLogger("grpc").warning("from a library\n\x1b[2J")

    assert len(stream.getvalue().splitlines()) == 2
    assert "\x1b" not in stream.getvalue()


def test_a_traceback_keeps_its_lines_but_not_its_controls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    stream = io.StringIO()
    configure(stream=stream, style="console")

    try:
        int("\x1b[2J")
    except ValueError:
        structlog.get_logger().exception("agent_stop_step_failed")

    assert "Traceback" in stream.getvalue()
    assert len(stream.getvalue().splitlines()) > 3
    assert "\x1b" not in stream.getvalue()


def test_the_standard_librarys_logging_goes_the_same_way() -> None:
    stream = io.StringIO()
    configure(stream=stream)

    logging.getLogger("library").warning("slow callback took %d ms", 120)

    event = json.loads(stream.getvalue())
    assert (event["event"], event["logger"], event["level"]) == ("slow callback took 120 ms", "library", "warning")


def test_what_is_below_the_level_is_not_written() -> None:
    stream = io.StringIO()
    configure("warning", stream=stream)

    structlog.get_logger().info("segment_rolled")
    logging.getLogger("library").info("chatter")

    assert stream.getvalue() == ""


def test_an_unknown_level_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="'loud': expected one of debug, info, warning, error"):
        configure("loud")


def test_configuring_again_replaces_the_stream_also_for_loggers_that_exist() -> None:
    first, second = io.StringIO(), io.StringIO()
    configure(stream=first)
    logger = structlog.get_logger()
    logger.info("one")

    configure(stream=second)
    logger.info("two")

    assert json.loads(first.getvalue())["event"] == "one"
    assert json.loads(second.getvalue())["event"] == "two"


def test_a_broken_stderr_costs_lines_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    handler = configure(stream=BrokenPipe())

    structlog.get_logger().info("one")
    logging.getLogger("library").warning("two")

    assert handler.dropped_lines == 2
    assert capsys.readouterr() == ("", "")


def test_a_closed_stderr_costs_lines_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    stream = io.StringIO()
    stream.close()
    handler = configure(stream=stream)

    structlog.get_logger().info("one")

    assert handler.dropped_lines == 1
    assert capsys.readouterr() == ("", "")


def test_a_process_without_stderr_costs_lines_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", None)
    handler = configure()

    structlog.get_logger().info("one")

    assert handler.dropped_lines == 1


def test_a_process_whose_stderr_nobody_reads_continues_and_ends_well() -> None:
    code = (
        "import sys, structlog\n"
        "from proglog.telemetry.configure import configure\n"
        "handler = configure()\n"
        "for _ in range(3): structlog.get_logger().error('segment_rolled')\n"
        "handler.flush()\n"
        "print(handler.dropped_lines)\n"
    )
    reader, writer = os.pipe()
    os.close(reader)
    try:
        result = subprocess.run(
            [sys.executable, "-c", code], check=False, stdout=subprocess.PIPE, stderr=writer, timeout=60
        )
    finally:
        os.close(writer)

    assert (result.stdout, result.returncode) == (b"3\n", 0)


def test_a_traceback_has_no_local_variables() -> None:
    stream = io.StringIO()
    configure(stream=stream)

    try:
        secret = "the request"
        int(secret[:0])
    except ValueError:
        structlog.get_logger().exception("rpc_failed")

    assert "invalid literal" in stream.getvalue()
    assert "the request" not in stream.getvalue()


def test_a_full_pipe_does_not_hold_up_who_logs_and_says_what_it_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MAX_QUEUED_BYTES", 2_000)
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as stream:
        handler = configure(stream=stream)
        logged = 0
        while handler.dropped_lines < 100 or handler._lines.drain(0):  # type: ignore[union-attr]  # both are full
            structlog.get_logger().info("segment_rolled", detail="x" * 200)
            logged += 1

        written: list[dict[str, Any]] = []
        with os.fdopen(reader) as lines_read:
            while reported(written) < handler.dropped_lines:
                written.append(json.loads(lines_read.readline()))
            handler.flush()
            stream.close()
            written += [json.loads(line) for line in lines_read]

    assert reported(written) == handler.dropped_lines >= 100
    assert sum(event["event"] == "segment_rolled" for event in written) == logged - handler.dropped_lines


def reported(events: list[dict[str, Any]]) -> int:
    return sum(event["lines"] for event in events if event["event"] == "telemetry_dropped")


def test_the_end_waits_for_what_is_queued_and_a_second_at_most(tmp_path: Path) -> None:
    code = (
        "import sys, structlog\n"
        "from proglog.telemetry.configure import configure\n"
        "configure()\n"
        "for _ in range(3000): structlog.get_logger().error('segment_rolled')\n"
    )
    read = subprocess.run([sys.executable, "-c", code], check=False, stderr=subprocess.PIPE, timeout=60)
    assert len(read.stderr.splitlines()) == 3000

    reader, writer = os.pipe()
    unread = subprocess.run([sys.executable, "-c", code], check=False, stderr=writer, timeout=20)
    os.close(writer)
    os.close(reader)
    assert unread.returncode == 0


def test_a_failed_handshake_writes_no_line_of_grpcs_own_when_telemetry_was_configured_first(
    dev_certs: DevCerts,
) -> None:
    code = (
        "import pathlib, socket, sys\n"
        "from proglog.telemetry.configure import configure\n"
        "configure()\n"
        "from concurrent.futures import ThreadPoolExecutor\n"
        "import grpc\n"
        "from proglog.security.tls import TLSFiles, server_credentials\n"
        "cert, key, ca = map(pathlib.Path, sys.argv[1:])\n"
        "server = grpc.server(ThreadPoolExecutor(1))\n"
        "credentials = server_credentials(TLSFiles(cert_file=cert, key_file=key, ca_file=ca))\n"
        "port = server.add_secure_port('127.0.0.1:0', credentials)\n"
        "server.start()\n"
        "with socket.create_connection(('127.0.0.1', port), timeout=10) as plain:\n"
        "    plain.sendall(b'no handshake' * 50)\n"
        "    while plain.recv(4096): pass\n"
        "server.stop(0).wait(10)\n"
        "print('refused')\n"
    )
    files = dev_certs.server
    command: list[str | Path] = [sys.executable, "-c", code, files.cert_file, files.key_file, files.ca_file]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GRPC_")}

    result = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60, env=environment)

    assert (result.stdout, result.stderr) == ("refused\n", "")
