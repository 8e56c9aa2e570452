"""Run an agent: commit log, gRPC server, gossip membership and replicator, until SIGTERM or SIGINT.

Prints one line when it is ready; telemetry goes to stderr. A flag stands above its PROGLOG_ variable, that above
--config FILE (TOML, the flags' names without dashes in front), and that above the default.
"""

import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from proglog.cli import options, output
from proglog.cli.config_file import with_file
from proglog.cli.quantities import duration, size
from proglog.cli.serve_config import choice, user_data_dir

if TYPE_CHECKING:
    from proglog.agent.agent import Agent
    from proglog.agent.config import AgentConfig

Number = TypeVar("Number", int, float)

BOOK, STORE, SECURITY = "Cluster", "Log", "Security"


def _file(flag: str, help_: str) -> Any:
    variable = "PROGLOG_" + flag.removeprefix("--").upper().replace("-", "_")
    return typer.Option(flag, envvar=variable, metavar="FILE", help=help_)


def main(
    context: typer.Context,
    config: Annotated[Path | None, _file("--config", "TOML file of these flags")] = None,
    node_name: Annotated[
        str,
        typer.Option(
            "--node-name", envvar="PROGLOG_NODE_NAME", help="Unique in the cluster", show_default="this machine's name"
        ),
    ] = socket.gethostname(),
    data_dir: Annotated[
        Path | None, typer.Option("--data-dir", envvar="PROGLOG_DATA_DIR", help="Where the log lives; one agent each")
    ] = None,
    bind_addr: Annotated[
        str, typer.Option("--bind-addr", envvar="PROGLOG_BIND_ADDR", metavar="HOST:PORT", help="Gossip, UDP and TCP")
    ] = "127.0.0.1:8401",
    rpc_port: Annotated[
        int,
        typer.Option("--rpc-port", envvar="PROGLOG_RPC_PORT", metavar="PORT", help="gRPC, on the host of --bind-addr"),
    ] = 8400,
    start_join_addrs: Annotated[
        list[str] | None,
        typer.Option(
            "--start-join-addrs",
            envvar="PROGLOG_START_JOIN_ADDRS",
            metavar="HOST:PORT",
            help="A member to join through; may be given again, or several with commas",
        ),
    ] = None,
    acl_model_file: Annotated[Path | None, _file("--acl-model-file", "Casbin model")] = None,
    acl_policy_file: Annotated[
        Path | None, _file("--acl-policy-file", "Casbin policy; reloaded when it changes")
    ] = None,
    server_tls_cert_file: Annotated[
        Path | None, _file("--server-tls-cert-file", "Certificate shown to clients")
    ] = None,
    server_tls_key_file: Annotated[Path | None, _file("--server-tls-key-file", "Its key")] = None,
    server_tls_ca_file: Annotated[
        Path | None, _file("--server-tls-ca-file", "Authority of clients' certificates")
    ] = None,
    peer_tls_cert_file: Annotated[Path | None, _file("--peer-tls-cert-file", "Certificate shown to peers")] = None,
    peer_tls_key_file: Annotated[Path | None, _file("--peer-tls-key-file", "Its key")] = None,
    peer_tls_ca_file: Annotated[Path | None, _file("--peer-tls-ca-file", "Authority of peers' certificates")] = None,
    encrypt_file: Annotated[
        Path | None, _file("--encrypt-file", "Keys of the gossip: base64, one a line, the first sends")
    ] = None,
    metrics_addr: Annotated[
        str | None,
        typer.Option(
            "--metrics-addr",
            envvar="PROGLOG_METRICS_ADDR",
            metavar="HOST:PORT",
            help="Serve metrics to Prometheus here, over HTTP without TLS",
        ),
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", envvar="PROGLOG_INSECURE", help="Serve other machines without TLS")
    ] = False,
    fsync: Annotated[
        str,
        typer.Option(
            "--fsync", envvar="PROGLOG_FSYNC", metavar="always|interval|os", help="When appends are made durable"
        ),
    ] = "always",
    segment_bytes: Annotated[
        str,
        typer.Option(
            "--segment-bytes", envvar="PROGLOG_SEGMENT_BYTES", metavar="SIZE", help="Roll before 64MiB, 1GiB, ..."
        ),
    ] = "128MiB",
    retention_bytes: Annotated[
        str | None,
        typer.Option(
            "--retention-bytes",
            envvar="PROGLOG_RETENTION_BYTES",
            metavar="SIZE",
            help="Remove old segments beyond 500MB, 20GiB, ...",
        ),
    ] = None,
    retention_age: Annotated[
        str | None,
        typer.Option(
            "--retention-age",
            envvar="PROGLOG_RETENTION_AGE",
            metavar="D",
            help="Remove segments older than 12h, 7d, ...",
        ),
    ] = None,
    log_level: Annotated[
        str,
        typer.Option(
            "--log-level", envvar="PROGLOG_LOG_LEVEL", metavar="debug|info|warning|error", help="Of the telemetry"
        ),
    ] = "info",
) -> None:
    flags = with_file(context, config, {name: value for name, value in locals().items() if name != "context"})

    from proglog.telemetry.configure import LEVELS, configure

    configure(choice("--log-level", str(flags["log_level"]), LEVELS))  # before gRPC, which else writes lines of its own
    from proglog.agent.run import run

    def ready(agent: "Agent") -> None:
        view, data = agent.view, agent.config.data_dir
        output.line(
            f"ready node={view.config.node_name} rpc={view.rpc_addr} gossip={agent.membership.addr} data={data}"
        )
        output.flush()

    run(agent_config(flags), ready=ready)


def agent_config(flags: Mapping[str, Any]) -> "AgentConfig":
    """Return what the flags say, by their parameters' names.

    Raises:
        ConfigError: They say something that cannot be.
    """
    from proglog.agent.config import AgentConfig
    from proglog.log.config import FsyncPolicy, LogConfig

    return AgentConfig(
        node_name=flags["node_name"],
        data_dir=(flags["data_dir"] or user_data_dir()).absolute(),
        bind_addr=flags["bind_addr"],
        rpc_port=flags["rpc_port"],
        start_join_addrs=tuple(
            addr.strip() for given in flags["start_join_addrs"] or () for addr in given.split(",") if addr.strip()
        ),
        acl_model_file=flags["acl_model_file"],
        acl_policy_file=flags["acl_policy_file"],
        server_tls=options.tls_files(
            flags["server_tls_ca_file"], flags["server_tls_cert_file"], flags["server_tls_key_file"], "--server-tls"
        ),
        peer_tls=options.tls_files(
            flags["peer_tls_ca_file"], flags["peer_tls_cert_file"], flags["peer_tls_key_file"], "--peer-tls"
        ),
        encrypt_file=flags["encrypt_file"],
        metrics_addr=flags["metrics_addr"],
        insecure=flags["insecure"],
        log=LogConfig(
            fsync=FsyncPolicy(choice("--fsync", str(flags["fsync"]), tuple(policy.value for policy in FsyncPolicy))),
            segment_bytes=size("--segment-bytes", flags["segment_bytes"]),
            retention_bytes=_given(size, "--retention-bytes", flags["retention_bytes"]),
            retention_age=_given(duration, "--retention-age", flags["retention_age"]),
        ),
    )


def _given(parse: Callable[[str, str], Number], flag: str, text: str | None) -> Number | None:
    """Return what ``parse`` makes of a flag; ``None`` if it was left out."""
    return None if text is None else parse(flag, text)
