"""Run an agent: commit log, gRPC server, gossip membership and replicator, until SIGTERM or SIGINT.

Prints one line when it is ready, ending in health=... if anything is wrong; telemetry goes to stderr. Precedence: flag,
PROGLOG_ variable, --config FILE (TOML; flag names without the leading dashes), default.

    proglog serve --node-name one --data-dir data
    proglog serve --node-name two --data-dir data2 --bind-addr 127.0.0.1:8411 --rpc-port 8410 --start-join-addrs 127.0.0.1:8401
"""

import json
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from proglog.cli import options, output
from proglog.cli.config_file import with_file
from proglog.cli.options import flag
from proglog.cli.output import Format
from proglog.cli.serve_config import choice, tag_of, user_data_dir
from proglog.cli.shapes import Shape, value_of
from proglog.quantities import duration, size

if TYPE_CHECKING:
    from proglog.agent.agent import Agent
    from proglog.agent.config import AgentConfig

Number = TypeVar("Number", int, float)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeFlags:
    """An agent's settings from the command line, variables and the config file."""

    config: Annotated[Path | None, flag("config", "TOML file of these flags", "FILE")] = None
    node_name: Annotated[str, flag("node-name", "Unique in the cluster", show_default="this machine's name")] = (
        socket.gethostname()
    )
    data_dir: Annotated[Path | None, flag("data-dir", "Data directory; one agent per directory")] = None
    bind_addr: Annotated[str, flag("bind-addr", "Gossip, UDP and TCP", "HOST:PORT")] = "127.0.0.1:8401"
    rpc_port: Annotated[int, flag("rpc-port", "gRPC, on the host of --bind-addr", "PORT")] = 8400
    advertise_addr: Annotated[
        str, flag("advertise-addr", "Gossip address for other members, if not --bind-addr", "HOST[:PORT]")
    ] = ""
    rpc_advertise_addr: Annotated[
        str, flag("rpc-advertise-addr", "gRPC address for other members, if not on that host", "HOST[:PORT]")
    ] = ""
    start_join_addrs: Annotated[
        list[str] | None,
        flag("start-join-addrs", "Members to join through; repeatable, or separated by commas", "HOST[:PORT]"),
    ] = None
    acl_model_file: Annotated[Path | None, flag("acl-model-file", "Casbin model", "FILE")] = None
    acl_policy_file: Annotated[
        Path | None, flag("acl-policy-file", "Casbin policy; reloaded when it changes", "FILE")
    ] = None
    server_tls_cert_file: Annotated[
        Path | None, flag("server-tls-cert-file", "Certificate to present to clients", "FILE")
    ] = None
    server_tls_key_file: Annotated[Path | None, flag("server-tls-key-file", "Its key", "FILE")] = None
    server_tls_ca_file: Annotated[
        Path | None, flag("server-tls-ca-file", "Authority that signs clients' certificates", "FILE")
    ] = None
    peer_tls_cert_file: Annotated[
        Path | None, flag("peer-tls-cert-file", "Certificate to present to peers", "FILE")
    ] = None
    peer_tls_key_file: Annotated[Path | None, flag("peer-tls-key-file", "Its key", "FILE")] = None
    peer_tls_ca_file: Annotated[
        Path | None, flag("peer-tls-ca-file", "Authority that signs peers' certificates", "FILE")
    ] = None
    encrypt_file: Annotated[
        Path | None, flag("encrypt-file", "Gossip keys: base64, one per line; the first encrypts", "FILE")
    ] = None
    encrypt_mode: Annotated[
        str,
        flag(
            "encrypt-mode",
            "Migrate from plain gossip: accept both and send plain, or send encrypted",
            "accept|send|required",
        ),
    ] = "required"
    tag: Annotated[
        list[str] | None,
        flag("tag", "Tag that other members see; repeatable", "NAME=VALUE"),
    ] = None
    gossip_profile: Annotated[str, flag("gossip-profile", "Gossip timing for this network", "lan|wan|local")] = "lan"
    gossip_label: Annotated[
        str, flag("gossip-label", "Label of the cluster; gossip with another label is refused", "TEXT")
    ] = ""
    gossip_allow: Annotated[
        list[str] | None,
        flag("gossip-allow", "Networks that members may be in; repeatable, or separated by commas", "CIDR"),
    ] = None
    validate_node_names: Annotated[
        bool, flag("validate-node-names", "Refuse node names with other than letters, digits, - and .")
    ] = False
    event_handler: Annotated[
        list[str] | None,
        flag("event-handler", "Script to run for events, as Serf does; repeatable", "[KIND[:NAME],...=]SCRIPT"),
    ] = None
    replay_events: Annotated[bool, flag("replay-events", "When joining, also receive earlier user events")] = False
    serf_rpc_addr: Annotated[
        str | None, flag("serf-rpc-addr", "Address that serves the stock serf command line", "HOST:PORT")
    ] = None
    serf_rpc_auth_file: Annotated[
        Path | None, flag("serf-rpc-auth-file", "File with the token that serf must present", "FILE")
    ] = None
    metrics_addr: Annotated[
        str | None, flag("metrics-addr", "Address that serves Prometheus metrics, over HTTP without TLS", "HOST:PORT")
    ] = None
    trace_endpoint: Annotated[
        str | None,
        flag("trace-endpoint", "Collector of OpenTelemetry spans, http:// or https://; needs `tracing`", "URL"),
    ] = None
    insecure: Annotated[bool, flag("insecure", "Allow serving other machines without TLS")] = False
    insecure_gossip: Annotated[
        bool, flag("insecure-gossip", "Gossip with other machines without a key, though calls have TLS")
    ] = False
    fsync: Annotated[str, flag("fsync", "When appends are made durable", "always|interval|os")] = "always"
    segment_bytes: Annotated[str, flag("segment-bytes", "Maximum segment size: 64MiB, 1GiB, ...", "SIZE")] = "128MiB"
    retention_bytes: Annotated[
        str | None, flag("retention-bytes", "Remove old segments beyond 500MB, 20GiB, ...", "SIZE")
    ] = None
    retention_age: Annotated[str | None, flag("retention-age", "Remove segments older than 12h, 7d, ...", "D")] = None
    log_level: Annotated[str, flag("log-level", "Minimum level of telemetry to emit", "debug|info|warning|error")] = (
        "info"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeShape:
    """An agent that is ready. The other formats than table are one line each."""

    node: str
    rpc_addr: str
    gossip_addr: str
    data_dir: str
    health: str | None
    """The worst finding, in words; null: nothing needs attention."""


READY = Shape("serve", ServeShape, many=False)
SHAPES = (READY,)


def main(context: typer.Context, output_: options.Output = Format.TABLE, *, given: ServeFlags) -> None:
    flags = options.from_values(ServeFlags, with_file(context, given.config, options.values(given)))

    from proglog.telemetry.configure import configure, descriptor_of
    from proglog.telemetry.emit import LEVELS
    from proglog.telemetry.lines import LineWriter

    configure(choice("--log-level", flags.log_level, LEVELS))  # before gRPC, which else writes lines of its own
    from proglog.agent.run import run
    from proglog.observe.health import Severity, own_findings
    from proglog.observe.safe_text import safe_text

    def ready(agent: "Agent") -> None:
        view, data = agent.view, agent.config.data_dir
        serious = [each for each in own_findings(view.snapshot(segments=False)) if each.severity > Severity.INFO]
        health = None
        if serious:
            health = f"{serious[0].severity.name}: " + "; ".join(safe_text(each.cause) for each in serious)
        shaped = ServeShape(
            node=view.config.node_name,
            rpc_addr=view.rpc_addr,
            gossip_addr=agent.membership.addr,
            data_dir=str(data),
            health=health,
        )
        line = _ready_line(shaped, output_)
        descriptor = descriptor_of(sys.stdout)
        if descriptor is not None:
            LineWriter(descriptor).put(f"{line}\n".encode())  # on a thread: stdout may have no reader

    run(agent_config(flags), ready=ready)


def _ready_line(ready: ServeShape, format_: Format) -> str:
    match format_:
        case Format.TABLE:
            health = f" health={ready.health}" if ready.health else ""
            return (
                f"ready node={ready.node} rpc={ready.rpc_addr} gossip={ready.gossip_addr} data={ready.data_dir}{health}"
            )
        case Format.PLAIN:
            return "\t".join(map(output.bare, value_of(ready).values()))
    return json.dumps(READY.document(ready))


def agent_config(flags: ServeFlags) -> "AgentConfig":
    """Return the configuration given by the flags.

    Raises:
        ConfigError: A value is invalid, or two contradict each other.
    """
    from proglog.agent.config import ENCRYPT_MODES, PROFILES, AgentConfig
    from proglog.log.config import FsyncPolicy, LogConfig
    from proglog.types import NodeName

    return AgentConfig(
        node_name=NodeName(flags.node_name),
        data_dir=(flags.data_dir or user_data_dir()).absolute(),
        bind_addr=flags.bind_addr,
        rpc_port=flags.rpc_port,
        advertise_addr=flags.advertise_addr,
        rpc_advertise_addr=flags.rpc_advertise_addr,
        start_join_addrs=_listed(flags.start_join_addrs),
        acl_model_file=flags.acl_model_file,
        acl_policy_file=flags.acl_policy_file,
        server_tls=options.tls_files(
            flags.server_tls_ca_file, flags.server_tls_cert_file, flags.server_tls_key_file, "--server-tls"
        ),
        peer_tls=options.tls_files(
            flags.peer_tls_ca_file, flags.peer_tls_cert_file, flags.peer_tls_key_file, "--peer-tls"
        ),
        encrypt_file=flags.encrypt_file,
        encrypt_mode=choice("--encrypt-mode", flags.encrypt_mode, ENCRYPT_MODES),
        tags=dict(tag_of(text) for text in flags.tag or ()),
        gossip_profile=choice("--gossip-profile", flags.gossip_profile, PROFILES),
        gossip_label=flags.gossip_label,
        gossip_allow=_listed(flags.gossip_allow),
        validate_node_names=flags.validate_node_names,
        event_handlers=tuple(flags.event_handler or ()),
        replay_events=flags.replay_events,
        serf_rpc_addr=flags.serf_rpc_addr,
        serf_rpc_auth_file=flags.serf_rpc_auth_file,
        metrics_addr=flags.metrics_addr,
        trace_endpoint=flags.trace_endpoint,
        insecure=flags.insecure,
        insecure_gossip=flags.insecure_gossip,
        log=LogConfig(
            fsync=FsyncPolicy(choice("--fsync", flags.fsync, tuple(policy.value for policy in FsyncPolicy))),
            segment_bytes=size("--segment-bytes", flags.segment_bytes),
            retention_bytes=_given(size, "--retention-bytes", flags.retention_bytes),
            retention_age=_given(duration, "--retention-age", flags.retention_age),
        ),
    )


def _listed(given: list[str] | None) -> tuple[str, ...]:
    """Return the parts of a flag that is repeatable, or has several separated by commas."""
    return tuple(part.strip() for each in given or () for part in each.split(",") if part.strip())


def _given(parse: Callable[[str, str], Number], flag: str, text: str | None) -> Number | None:
    """Return what ``parse`` makes of a flag; ``None`` if it was left out."""
    return None if text is None else parse(flag, text)
