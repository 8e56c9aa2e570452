"""Watch a cluster in a dashboard: members, replication, segments, live. `?` explains, `q` leaves.

Flags and keys may stand in a file, ~/.config/proglog/config.toml or --config: `proglog config dash` shows them all.
"""

from pathlib import Path
from typing import Annotated

import typer

from proglog.cli import diagnostics, options, output
from proglog.errors import ConfigError


def main(
    context: typer.Context,
    replay: Annotated[
        Path | None, typer.Option("--replay", metavar="FILE", help="Show a recording, not an agent")
    ] = None,
    record: Annotated[
        Path | None, typer.Option("--record", metavar="FILE", help="Keep everything that is shown, for --replay")
    ] = None,
    theme: Annotated[str | None, typer.Option("--theme", help="Colours; the palette inside lists them")] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", envvar="PROGLOG_CONFIG", metavar="FILE", help="TOML file: these flags, and keys"),
    ] = None,
    addr: options.Addr = options.DEFAULT_ADDR,
    tls_ca_file: options.TLSCa = None,
    tls_cert_file: options.TLSCert = None,
    tls_key_file: options.TLSKey = None,
    timeout: options.Timeout = options.DEFAULT_TIMEOUT,
) -> None:
    from proglog.agent.config import split_addr
    from proglog.cli.config_file import DASH, dash_keys, reader_file, with_file

    given = {name: value for name, value in locals().items() if name in context.params}
    path = reader_file(config)
    flags = with_file(context, path, given, table=DASH)
    keys = dash_keys(path)
    split_addr(flags["addr"], "--addr")
    options.check_timeout(flags["timeout"])
    tls = options.tls_files(flags["tls_ca_file"], flags["tls_cert_file"], flags["tls_key_file"])
    if not (output.is_terminal() and diagnostics.is_terminal()):
        raise ConfigError("the dashboard needs a terminal; `proglog status --watch` writes lines instead")
    from proglog.tui.app import run_dash

    run_dash(
        flags["addr"],
        tls,
        timeout=flags["timeout"],
        replay=flags["replay"],
        record=flags["record"],
        theme=flags["theme"],
        keys=keys,
        keys_from=f"{path} [dash.keys]",
    )
