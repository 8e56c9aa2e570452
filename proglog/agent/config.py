"""An agent's settings: the book's ``Config``, field for field, and what its log and gossip need in addition."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from proglog.addr import RPC_ADDR_TAG, is_loopback, is_wildcard, join_addr, split_addr
from proglog.agent.event_handlers import parse_handlers
from proglog.errors import ConfigError
from proglog.gossip.label import parse_label
from proglog.gossip.member_rules import is_strict_name, parse_networks
from proglog.log.config import LogConfig
from proglog.security.tls import TLSFiles
from proglog.telemetry.tracing import check_endpoint
from proglog.types import NodeName

DEFAULT_BIND_ADDR = "127.0.0.1:8401"
DEFAULT_GOSSIP_PORT = 8401
DEFAULT_RPC_PORT = 8400
MAX_NODE_NAME_BYTES = 128
ENCRYPT_MODES = ("accept", "send", "required")
PROFILES = ("lan", "wan", "local")


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentConfig:
    """One agent's settings. Validates itself: any instance should be startable."""

    node_name: NodeName
    """Unique in the cluster: 1 to 128 bytes of printable text without spaces."""

    data_dir: Path
    """Data directory; created if missing. One agent per directory."""

    bind_addr: str = DEFAULT_BIND_ADDR
    """HOST:PORT of gossip, UDP and TCP. The gRPC server listens on the same host. Port 0: any free one."""

    rpc_port: int = DEFAULT_RPC_PORT
    """Port of the gRPC server. 0: any free one."""

    advertise_addr: str = ""
    """HOST[:PORT] at which other members reach gossip, if not where it is bound. Empty: the host of ``bind_addr``, and
    of a wildcard a private address of this machine."""

    rpc_advertise_addr: str = ""
    """HOST[:PORT] at which other members reach the gRPC server. Empty: the advertised host, with the server's port."""

    start_join_addrs: tuple[str, ...] = ()
    """HOST[:PORT] of members to join through; one that answers is enough, and none is no error: it keeps trying. All
    addresses of a name are tried, and looked up again each time."""

    acl_model_file: Path | None = None
    """Casbin model; with ``acl_policy_file``, or neither."""

    acl_policy_file: Path | None = None
    """Casbin policy, reloaded when it changes."""

    server_tls: TLSFiles | None = None
    """The server's certificate, and the authority that signs clients' certificates. ``None``: no TLS."""

    peer_tls: TLSFiles | None = None
    """The certificate for connections to peers."""

    encrypt_file: Path | None = None
    """Keys that encrypt gossip: one base64 key a line, the first is used to send. ``None``: plain text."""

    encrypt_mode: str = "required"
    """What goes beside sealed gossip on the way there: ``accept`` takes in both and sends plain, ``send`` takes in both and
    sends sealed, ``required`` takes and sends nothing plain."""

    tags: Mapping[str, str] = field(default_factory=dict)
    """The node's tags besides ``rpc_addr``; including that, names and values are at most 512 bytes."""

    gossip_profile: str = "lan"
    """Timing of gossip: ``lan``, ``wan`` or ``local``."""

    gossip_label: str = ""
    """Label of the cluster, on all gossip: nodes with another one, or none, stay apart. At most 255 bytes."""

    gossip_allow: tuple[str, ...] = ()
    """Networks (``10.0.0.0/8``) in which members may be; empty: anywhere. Gossip from elsewhere is dropped."""

    validate_node_names: bool = False
    """Whether node names, this one and others', are letters, digits, ``-`` and ``.`` only, as a stock agent can demand."""

    event_handlers: tuple[str, ...] = ()
    """Scripts to run for events: ``[KIND[:NAME],...=]SCRIPT``, as :mod:`proglog.agent.event_handlers` reads them."""

    replay_events: bool = False
    """Also receive user events from before this node joined."""

    serf_rpc_addr: str | None = None
    """HOST:PORT of Serf's RPC port, for the stock ``serf`` command line. ``None``: nowhere. Port 0: any free one."""

    serf_rpc_auth_file: Path | None = None
    """Holds the token that its clients have to show; needed where others than this machine could reach it."""

    metrics_addr: str | None = None
    """HOST:PORT on which Prometheus may ask for metrics, without TLS. ``None``: nowhere. Port 0: any free one."""

    trace_endpoint: str | None = None
    """http://HOST:PORT of a collector of OpenTelemetry spans, https:// for TLS. ``None``: no tracing."""

    insecure: bool = False
    """Serve others than this machine without TLS. Has to be said in so many words."""

    insecure_gossip: bool = False
    """Gossip with others than this machine without a key, though calls have TLS. Has to be said in so many words."""

    log: LogConfig = LogConfig()  # noqa: RUF009 - frozen, so one default is as good as many
    """Segment size, durability, retention."""

    def __post_init__(self) -> None:
        """Refuse invalid settings, naming the flag."""
        name_bytes = len(self.node_name.encode("utf-8", "surrogatepass"))
        if not 1 <= name_bytes <= MAX_NODE_NAME_BYTES or not self.node_name.isprintable() or " " in self.node_name:
            raise ConfigError(
                f"--node-name {self.node_name!r}: expected 1 to {MAX_NODE_NAME_BYTES} bytes of text without spaces"
            )
        if self.validate_node_names and not is_strict_name(self.node_name):
            raise ConfigError(
                f"--node-name {self.node_name!r}: --validate-node-names allows only letters, digits, '-' and '.'"
            )
        parse_label(self.gossip_label, "--gossip-label")
        parse_networks(self.gossip_allow, "--gossip-allow")
        if self.trace_endpoint is not None:
            check_endpoint(self.trace_endpoint)
        host, _ = split_addr(self.bind_addr, "--bind-addr")
        if not 0 <= self.rpc_port <= 65535:
            raise ConfigError(f"--rpc-port {self.rpc_port}: expected a port from 0 to 65535")
        for addr in self.start_join_addrs:
            split_addr(addr, "--start-join-addrs", default_port=DEFAULT_GOSSIP_PORT)
        for flag, addr in (
            ("--advertise-addr", self.advertise_addr),
            ("--rpc-advertise-addr", self.rpc_advertise_addr),
        ):
            if addr and is_wildcard(split_addr(addr, flag, default_port=0)[0]):
                raise ConfigError(
                    f"{flag} {addr}: a wildcard cannot be dialled; give an address that other members can reach"
                )
        if self.encrypt_mode not in ENCRYPT_MODES:
            raise ConfigError(f"--encrypt-mode {self.encrypt_mode!r}: expected {', '.join(ENCRYPT_MODES)}")
        if self.encrypt_mode != "required" and self.encrypt_file is None:
            raise ConfigError(f"--encrypt-mode {self.encrypt_mode} needs the keys: give --encrypt-file")
        if self.gossip_profile not in PROFILES:
            raise ConfigError(f"--gossip-profile {self.gossip_profile!r}: expected {', '.join(PROFILES)}")
        for text in self.event_handlers:
            parse_handlers(text)
        if RPC_ADDR_TAG in self.tags or "" in self.tags:
            raise ConfigError(f"--tag: a tag has a name, and {RPC_ADDR_TAG} is set by --rpc-advertise-addr")
        if self.serf_rpc_addr is not None and self.serf_rpc_auth_file is None:
            local = is_loopback(split_addr(self.serf_rpc_addr, "--serf-rpc-addr")[0])
            if not local or self.acl_policy_file is not None:
                raise ConfigError(
                    f"--serf-rpc-addr {self.serf_rpc_addr} needs --serf-rpc-auth-file: without a token any caller can change the cluster"
                )
        if self.metrics_addr is not None:
            split_addr(self.metrics_addr, "--metrics-addr")
        if (self.acl_model_file is None) != (self.acl_policy_file is None):
            raise ConfigError("--acl-model-file and --acl-policy-file need each other: give both or neither")
        if self.acl_model_file is not None and self.server_tls is None:
            raise ConfigError(
                "--acl-model-file needs server TLS: a caller's name is its certificate's common name;"
                " give --server-tls-cert-file, --server-tls-key-file and --server-tls-ca-file"
            )
        if self.server_tls is not None and self.peer_tls is None:
            raise ConfigError(
                "server TLS needs peer TLS too, or this agent could not replicate from its peers:"
                " give --peer-tls-cert-file, --peer-tls-key-file and --peer-tls-ca-file"
            )
        if self.server_tls is None and not self.insecure and not is_loopback(host):
            raise ConfigError(
                f"--bind-addr {self.bind_addr} can be reached by other machines, and there is no TLS:"
                " give the --server-tls-*-file flags, bind to 127.0.0.1, or pass --insecure"
            )

        plain_gossip = self.encrypt_file is None and not self.insecure_gossip
        if self.server_tls is not None and plain_gossip and not is_loopback(host):
            raise ConfigError(
                f"--bind-addr {self.bind_addr} can be reached by other machines, and gossip has no key: any machine that"
                " reaches the port could invent members; give --encrypt-file (`proglog certs` makes one), bind to"
                " 127.0.0.1, or say --insecure-gossip"
            )

    @property
    def host(self) -> str:
        """The host that gossip and gRPC bind to."""
        return split_addr(self.bind_addr, "--bind-addr")[0]

    @property
    def rpc_addr(self) -> str:
        """HOST:PORT of the gRPC server, as the book's ``RPCAddr``."""
        return join_addr(self.host, self.rpc_port)
