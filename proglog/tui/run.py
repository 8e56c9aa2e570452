"""Running the dashboard: its source, its recording, its terminal."""

import os
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from proglog.client import DEFAULT_TIMEOUT
from proglog.observe.recording import Recorder
from proglog.observe.spans import Locale
from proglog.tui.app import DashApp
from proglog.tui.notify import Notify
from proglog.tui.source import LiveSource, RecordedSource
from proglog.tui.themes import DEFAULT_THEME, ascii_terminal

if TYPE_CHECKING:
    from proglog.security.tls import TLSFiles


def run_dash(
    addr: str,
    tls: "TLSFiles | None" = None,
    *,
    timeout: float = DEFAULT_TIMEOUT,
    replay: Path | None = None,
    record: Path | None = None,
    theme: str | None = None,
    ascii_only: bool | None = None,
    keys: Mapping[str, object] | None = None,
    keys_from: str = "[dash.keys]",
    allow_writes: bool = False,
    others: Sequence[tuple[str, str, "TLSFiles | None"]] = (),
    notify: Notify = Notify.OFF,
) -> None:
    """Show the dashboard until the reader leaves it.

    Args:
        addr: HOST:PORT of an agent's gRPC server. It need not be there yet.
        tls: Certificate, key and authority; ``None`` speaks plain text.
        timeout: Seconds that a call may take.
        replay: A recording to show instead of an agent.
        record: File that every second is written to.
        theme: Name of a theme; ``None``: TEXTUAL_THEME, or the dashboard's own.
        ascii_only: Keep to ASCII; ``None``: what locale and terminal need.
        keys: The reader's own keys, by binding id.
        keys_from: Where they were read, for errors.
        allow_writes: Offer actions that change the cluster.
        others: More clusters, each a tab: name, address, TLS files.
        notify: What a finding that is new does beside being shown.

    Raises:
        ProglogError: A recording or the TLS files cannot be used.
        ConfigError: There is no such theme, or the keys cannot be.
    """
    chosen, warnings = _checked(keys, keys_from) if keys else ({}, [])
    source = RecordedSource(replay) if replay else LiveSource(addr, tls, timeout=timeout)
    ascii_needed = ascii_terminal(os.environ) if ascii_only is None else ascii_only
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # or it writes across the screen what it thinks of a connection
    if not os.environ.get("NO_COLOR"):
        os.environ.pop("NO_COLOR", None)  # an empty one means nothing by its convention; Textual would go grey
    recording = Recorder(record, source.target) if record else nullcontext()
    with recording as recorder:
        app = DashApp(
            source,
            locale=Locale(ascii_only=ascii_needed),
            recorder=recorder,
            allow_writes=allow_writes,
            others=[(name, LiveSource(at, files, timeout=timeout)) for name, at, files in others],
            notify=notify,
        )
        app.use_theme(theme or os.environ.get("TEXTUAL_THEME", DEFAULT_THEME))
        app.use_keys(chosen, warnings)
        app.run()
    if app.failure is not None:
        raise app.failure


def _checked(keys: Mapping[str, object], keys_from: str) -> tuple[dict[str, str], list[str]]:
    from proglog.tui.bindings import KEYMAP  # imports every screen, which the first frame need not wait for

    return KEYMAP.checked(keys, keys_from)
