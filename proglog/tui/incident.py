"""The incident bundle of a dashboard: the moment on the screen, with everything that is known of it, in one file."""

import os
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from proglog.observe import bundle
from proglog.tui.state import DashState

_BUNDLED = 600
"""Frames of a bundle: the last ten minutes."""


def write(directory: Path, state: DashState, screen: Mapping[str, str], started: Mapping[str, object]) -> Path:
    """Write a bundle and return its path. Takes a moment: not for the event loop.

    Args:
        directory: Where it goes.
        state: What the dashboard knows; it has a snapshot.
        screen: The screen by the suffix of its file; empty: left out.
        started: How the dashboard was started, in names and paths.

    Raises:
        StorageError: It cannot be written.
    """
    shown, at = state.shown, state.shown_at
    assert shown is not None  # checked where the action is offered
    stem = f"proglog-incident-{bundle.file_stem(shown.node.name)[:40]}-{time.strftime('%Y%m%d-%H%M%S', time.localtime(at))}"
    files = bundle.contents(
        snapshot=shown,
        others=[other for name in state.others if (other := state.first_hand(name)) is not None],
        alerts=state.alerts,
        screen=dict(screen),
        recording=bundle.recording_of(state.target, state.shown_frames[-_BUNDLED:]),
        at=datetime.fromtimestamp(at).astimezone().isoformat(timespec="seconds"),
        started=dict(started),
        environ=os.environ,
    )
    path = directory / f"{stem}.tar.gz"
    bundle.write(path, bundle.packed(files, stem, at))
    return path
