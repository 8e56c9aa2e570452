"""Open the live dashboard of a cluster: members, replication, segments. `?` explains, `q` quits.

--demo needs no setup: it starts three agents in a temporary directory and sends traffic through them. --web serves the
dashboard to a browser on this machine, at the address it prints.

Flags and keys can be set in ~/.config/proglog/config.toml or --config FILE; `proglog config dash` lists them all.

    proglog dash
    proglog dash --record today.db --theme proglog-contrast
    proglog dash --replay today.db --html today.html
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from proglog.addr import split_addr
from proglog.cli import diagnostics, options, output
from proglog.errors import ConfigError
from proglog.tui.notify import Notify

if TYPE_CHECKING:
    from proglog.security.tls import TLSFiles


DEMO_SEGMENT_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class DashFlags:
    """Flags of the dashboard."""

    demo: Annotated[bool, typer.Option("--demo", help="Start and watch three temporary agents with traffic")] = False
    web: Annotated[
        bool, typer.Option("--web", help='In a browser on this machine; needs pip install "proglog-cluster[web]"')
    ] = False
    port: Annotated[int, typer.Option("--port", metavar="N", help="Port on 127.0.0.1 for --web; 0: any")] = 8080
    replay: Annotated[
        Path | None, typer.Option("--replay", metavar="FILE", help="Show a recording instead of a live agent")
    ] = None
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="Write --replay as a page that any browser plays, and end"),
    ] = None
    record: Annotated[
        Path | None, typer.Option("--record", metavar="FILE", help="Record everything shown, for --replay")
    ] = None
    allow_writes: Annotated[
        bool, typer.Option("--allow-writes", help="Enable actions that change the cluster; each asks first")
    ] = False
    also: Annotated[
        list[str] | None,
        typer.Option("--also", metavar="PROFILE", help="Watch the cluster of this profile, too, in a tab; repeatable"),
    ] = None
    notify: Annotated[
        Notify, typer.Option("--notify", help="What a new finding does beside being shown", case_sensitive=False)
    ] = Notify.OFF
    theme: Annotated[str | None, typer.Option("--theme", help="Colour theme; the dashboard's palette lists them")] = (
        None
    )
    config: Annotated[
        Path | None,
        typer.Option("--config", envvar="PROGLOG_CONFIG", metavar="FILE", help="TOML file: these flags, and keys"),
    ] = None


def main(context: typer.Context, *, dash: DashFlags, agent: options.AgentFlags) -> None:
    from proglog.cli.config_file import DASH, dash_keys, reader_file, with_file

    path = reader_file(dash.config)
    values = with_file(context, path, options.values(dash) | options.values(agent), table=DASH)
    dash, agent = options.from_values(DashFlags, values), options.from_values(options.AgentFlags, values)
    keys = dash_keys(path)
    tls = agent.tls
    if dash.demo and dash.replay:
        raise ConfigError("--demo and --replay cannot be combined: one starts its own agents, the other reads a file")
    if dash.html is not None:
        _export(dash, dash.html)
        return
    if not dash.web:
        _check_terminal()
    addr = "" if dash.demo or dash.replay else agent.chosen()
    with _agents(addr, tls, demo=dash.demo) as (watched, credentials):
        if dash.web:
            _serve(dash, watched, credentials, agent.timeout, path)
            return
        from proglog.tui.run import run_dash

        run_dash(
            watched,
            credentials,
            timeout=agent.timeout,
            replay=dash.replay,
            record=dash.record,
            theme=dash.theme,
            keys=keys,
            keys_from=f"{path} [dash.keys]",
            allow_writes=dash.allow_writes,
            others=_others(dash.also or ()),
            notify=dash.notify,
        )


def _others(profiles_named: Sequence[str]) -> "list[tuple[str, str, TLSFiles | None]]":
    """Return the clusters of profiles: name, address, TLS files."""
    from proglog.cli import profiles

    found = []
    for name in profiles_named:
        values = {key: str(value) for key, value in profiles.choose(name).values.items()}
        if "addr" not in values:
            raise ConfigError(
                f"--also {name}: the profile has no addr; `proglog profile edit {name} --addr HOST:PORT` gives it one"
            )
        files = [
            Path(values[key]) if key in values else None for key in ("tls-ca-file", "tls-cert-file", "tls-key-file")
        ]
        addr = values["addr"].split(",")[0]
        split_addr(addr, f"addr of the profile {name}")
        found.append((name, addr, options.tls_files(files[0], files[1], files[2])))
    return found


def _export(dash: DashFlags, path: Path) -> None:
    """Write a recording as a page."""
    if dash.replay is None:
        raise ConfigError("--html needs --replay FILE: the recording to write; `w` in the dashboard makes one")
    if dash.demo or dash.web or dash.record:
        raise ConfigError("--html writes a file and ends: it cannot be combined with --demo, --web or --record")
    from proglog.observe import bundle
    from proglog.observe.recording import load
    from proglog.observe.spans import Locale
    from proglog.tui.export import page

    recording = load(dash.replay)
    if not recording.frames:
        raise ConfigError(f"--replay {dash.replay}: the recording is empty; there is nothing to show")
    bundle.write(path, page(recording.target, recording.frames, Locale()).encode())
    diagnostics.note(f"wrote {path}")


def _check_terminal() -> None:
    in_a_browser = "TEXTUAL_DRIVER" in os.environ  # as textual-serve starts it
    if not in_a_browser and not output.is_interactive():
        raise ConfigError(
            "the dashboard needs a terminal for input and output; `proglog status --watch` writes lines instead"
        )


@contextmanager
def _agents(addr: str, tls: "TLSFiles | None", *, demo: bool) -> "Iterator[tuple[str, TLSFiles | None]]":
    """Yield the agent to watch and how to reach it: the one that was named, or one of a demonstration."""
    if not demo:
        yield addr, tls
        return
    from proglog.cli.demo import traffic
    from proglog.cli.demo.cluster import DemoCluster
    from proglog.cli.interruption import interruptible

    with interruptible():
        diagnostics.note("starting three agents, with TLS and access control")
        with DemoCluster(flags={"segment-bytes": DEMO_SEGMENT_BYTES}) as cluster, traffic.running(cluster):
            yield cluster.nodes[0].rpc_addr, cluster.tls


def _serve(dash: DashFlags, addr: str, tls: "TLSFiles | None", timeout: float, config: Path | None) -> None:
    """Serve dashboards to a browser: each page runs this verb again, with the same flags."""
    if not 0 <= dash.port < 65_536:
        raise ConfigError(f"--port {dash.port}: expected 0 to 65535")
    from proglog.cli import own_process, web

    given = {
        "--addr": addr,
        "--timeout": timeout,
        "--replay": dash.replay,
        "--theme": dash.theme,
        "--config": config,
        "--tls-ca-file": tls and tls.ca_file,
        "--tls-cert-file": tls and tls.cert_file,
        "--tls-key-file": tls and tls.key_file,
    }
    parts = [part for flag, value in given.items() if value is not None for part in (flag, str(value))]
    parts += ["--allow-writes"] if dash.allow_writes else []
    parts += [part for name in dash.also or () for part in ("--also", name)]
    os.environ.update(own_process.environment({}))  # what serves the pages hands its own on
    web.serve([*own_process.command(), "dash", *parts], dash.port)
