"""A bug in the dashboard ends like one in any other verb: the terminal as it was, a sentence, a report, exit code 70."""

import sys
from pathlib import Path

from kit.terminal import Terminal

SCRIPT = """
from proglog.cli.app import run
from proglog.tui.screens.main import MainScreen

def broken(self, state):
    secret = "a value in a local"
    raise KeyError("it broke")

assert MainScreen.render_state  # the one that is replaced
MainScreen.render_state = broken
run(["dash", "--addr", "127.0.0.1:1"])
"""


def test_a_bug_leaves_the_terminal_and_a_report_and_no_traceback(tmp_path: Path) -> None:
    environment = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
    with Terminal([sys.executable, "-c", SCRIPT], env=environment) as terminal:
        terminal.until(lambda text: "the report is in" in text)
        code = terminal.ended(30)

    assert code == 70
    assert "this is a bug in proglog: KeyError" in terminal.text
    assert "Traceback" not in terminal.text
    assert "a value in a local" not in terminal.text
    left = terminal.output.rindex(b"\x1b[?1049l")
    assert terminal.output.rindex(b"this is a bug") > left  # said on the reader's own screen
