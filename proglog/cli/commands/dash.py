"""Watch a cluster in a dashboard: members, replication, segments, live. `?` explains, `q` leaves."""

from pathlib import Path
from typing import Annotated

import typer

from proglog.cli import diagnostics, options, output
from proglog.errors import ConfigError


def main(
    replay: Annotated[
        Path | None, typer.Option("--replay", metavar="FILE", help="Show a recording, not an agent")
    ] = None,
    record: Annotated[
        Path | None, typer.Option("--record", metavar="FILE", help="Keep everything that is shown, for --replay")
    ] = None,
    theme: Annotated[str | None, typer.Option("--theme", help="Colours; the palette inside lists them")] = None,
    addr: options.Addr = options.DEFAULT_ADDR,
    tls_ca_file: options.TLSCa = None,
    tls_cert_file: options.TLSCert = None,
    tls_key_file: options.TLSKey = None,
    timeout: options.Timeout = options.DEFAULT_TIMEOUT,
) -> None:
    from proglog.agent.config import split_addr

    split_addr(addr, "--addr")
    options.check_timeout(timeout)
    tls = options.tls_files(tls_ca_file, tls_cert_file, tls_key_file)
    if not (output.is_terminal() and diagnostics.is_terminal()):
        raise ConfigError("the dashboard needs a terminal; `proglog status --watch` writes lines instead")
    from proglog.tui.app import run_dash

    run_dash(addr, tls, timeout=timeout, replay=replay, record=record, theme=theme)
