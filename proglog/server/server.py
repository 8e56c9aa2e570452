"""The gRPC server: options, services, health, reflection; started on an address, stopped with grace."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from proglog.api.v1 import batches_pb2_grpc, cluster_pb2_grpc, log_pb2_grpc, losses_pb2_grpc
from proglog.errors import ConfigError
from proglog.record.batch import MAX_STORED_BATCH_BYTES
from proglog.security.authorizer import Authorizer
from proglog.security.tls import RotatingMaterial, TLSFiles, rotating_credentials
from proglog.security.trust import AuthContext, PeerTrust
from proglog.server.acks import Acks
from proglog.server.admission import Admission
from proglog.server.batch_service import BatchService
from proglog.server.cluster import ClusterView
from proglog.server.cluster_service import ClusterService
from proglog.server.commit_log import CommitLog
from proglog.server.context import Context
from proglog.server.followers import Followers
from proglog.server.interceptors import Gate
from proglog.server.log_service import LogService
from proglog.server.loss_service import LossService
from proglog.server.position_service import PositionService
from proglog.server.reflection import serve_reflection
from proglog.telemetry import events
from proglog.telemetry.emit import Emit, EventKind, emitter
from proglog.telemetry.tracing import Tracing
from proglog.wire.model import CertificateStatus

MAX_MESSAGE_BYTES = MAX_STORED_BATCH_BYTES + 64 * 1024
"""A batch, and what is around it."""

OPTIONS = (
    ("grpc.so_reuseport", 0),  # two agents would share a port without a word
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", 2 * MAX_MESSAGE_BYTES),
    # No limit of streams: gRPC refuses what is over it as if the connection had broken. proglog.server.admission has
    # the bounds. For the same reason calls that the loop has not come to yet are not thrown out at random.
    ("grpc.server.max_pending_requests", 1 << 20),
    ("grpc.server.max_pending_requests_hard_limit", 1 << 20),
    ("grpc.server_max_unrequested_time_in_server", 3600),  # nor cancelled after half a minute: callers have deadlines
    ("grpc.max_metadata_size", 8 * 1024),
    ("grpc.server_handshake_timeout_ms", 5000),  # the default lets a silent connection hang for two minutes
    # By default gRPC reads further ahead the faster producers are: hundreds of MiB while a slow disk holds them back.
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", 256 * 1024),  # of each stream, before the server's own bounds see any of it
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.ping_timeout_ms", 5_000),  # a bandwidth probe that is lost holds keepalives up: by default a minute
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 4_000),  # or followers' keepalives are "too many pings"
    ("grpc.http2.max_ping_strikes", 0),
)

CONNECTION_AGE = 3600.0
"""Seconds after which a connection over TLS takes no new calls, so that its certificate is looked at again."""

SERVICES = ("log.v1.Log", "proglog.v1.Batches", "proglog.v1.Positions", "proglog.v1.Cluster", "proglog.v1.Losses")


class ExtraService(Protocol):
    """A service supplied by a package above this one."""

    name: str

    def register(self, server: grpc.aio.Server) -> None:
        """Add it to ``server``."""
        ...


class _Health(health.aio.HealthServicer):
    """The library's, which leaves ``List`` out."""

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[str, Any] = {}

    async def set(self, service: str, status: Any) -> None:
        await super().set(service, status)
        self._said[service] = status

    async def List(  # noqa: N802 - gRPC's name
        self, request: Any, context: Context
    ) -> Any:
        """Return what was said of each service."""
        del request, context
        answers = {name: health_pb2.HealthCheckResponse(status=status) for name, status in self._said.items()}
        return health_pb2.HealthListResponse(statuses=answers)  # type: ignore[attr-defined]  # its stubs are older


class Server:
    """Serves a commit log. ``bind(addr)`` and ``await serve(cluster)``, then ``await stop(grace)``."""

    def __init__(
        self,
        *,
        commit_log: CommitLog,
        authorizer: Authorizer,
        tls: TLSFiles | None = None,
        extra_services: Sequence[ExtraService] = (),
        on_call_end: Callable[[str, str, float, int, int], None] = lambda *_: None,
        connection_age: float = CONNECTION_AGE,
        followers: Followers | None = None,
        emit: Emit | None = None,
        admission: Admission | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        """Store the configuration; nothing listens yet.

        Args:
            commit_log: The log to serve.
            authorizer: Decides which subject may take which action.
            tls: The server's files; ``None``: plain text.
            extra_services: Services besides those of this package.
            on_call_end: Gets method, code, seconds, received and sent bytes of each call.
            connection_age: Seconds after which a connection over TLS takes no new calls.
            followers: The followers' progress; ``None``: there are none.
            emit: Reports its events; ``None``: to telemetry only.
            admission: Bounds on calls and requests; ``None``: the usual ones.
            tracing: Records a span of each call; ``None``: none are.
        """
        self._emit = emit or emitter()  # bound once: a lazy logger binds at each call
        self._commit_log = commit_log
        self._authorizer = authorizer
        self._tls = tls
        self._extra_services = extra_services
        self._on_call_end = on_call_end
        self._tracing = tracing
        self._connection_age = connection_age
        self._followers = followers or Followers()
        self._admission = admission or Admission()
        self._health = _Health()
        self._material: RotatingMaterial | None = None
        self._trust: PeerTrust | None = None
        self._server: grpc.aio.Server | None = None
        self._stopping = False

    @property
    def services(self) -> tuple[str, ...]:
        """Full names of the services, health and reflection left out."""
        return (*SERVICES, *(extra.name for extra in self._extra_services))

    def add_service(self, service: ExtraService) -> None:
        """Add a service; call it before :meth:`serve`."""
        self._extra_services = (*self._extra_services, service)

    def certificate_expires_at_ms(self) -> int | None:
        """Return when the presented certificate expires, milliseconds since 1970; ``None`` without one."""
        material = self._material
        return None if material is None else int(material.current.summary.not_after.timestamp() * 1000)

    @property
    def admission(self) -> Admission:
        """The calls under way and their bounds."""
        return self._admission

    def certificate(self) -> CertificateStatus | None:
        """Return which set of files is in use, after a look at them; ``None`` without TLS."""
        material = self._material
        if material is None:
            return None
        material.poll()
        held, now = material.generations, time.monotonic()
        return CertificateStatus(
            generation=held.in_use,
            wanted=held.wanted,
            age_ms=int((now - held.since) * 1000),
            refused=held.refused,
            refused_ms=int((now - held.refused_since) * 1000) if held.refused else 0,
        )

    def reload(self) -> None:
        """Look at rules and certificates now, also at those that were refused; certificates with the next handshake."""
        self._authorizer.reload()
        if self._material is not None:
            self._material.retry()

    def bind(self, addr: str) -> int:
        """Bind ``addr``, HOST:PORT; return the port. :meth:`serve` starts answering calls.

        Raises:
            ConfigError: The address cannot be bound, or the TLS files do not load.
        """
        gate = Gate(self._authorizer, self._emit, self._on_call_end, self._admission, self._check_trust, self._tracing)
        self._server = grpc.aio.server(interceptors=(gate,), options=self._options())
        return self._bind(self._server, addr)

    async def serve(self, cluster: ClusterView | None = None) -> None:
        """Start answering calls; without ``cluster`` this server is the only one."""
        server, log = self._server, self._commit_log
        assert server is not None, "bind comes first"
        acks = Acks(self._followers, cluster.servers_alive if cluster else lambda: 1, log.holds)
        log_pb2_grpc.add_LogServicer_to_server(LogService(log, cluster), server)
        batches_pb2_grpc.add_BatchesServicer_to_server(BatchService(log, acks), server)
        batches_pb2_grpc.add_PositionsServicer_to_server(PositionService(log, acks), server)
        cluster_pb2_grpc.add_ClusterServicer_to_server(ClusterService(log, cluster), server)
        losses_pb2_grpc.add_LossesServicer_to_server(LossService(log, cluster), server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        for extra in self._extra_services:
            extra.register(server)
        serve_reflection(server, (*self.services, health.SERVICE_NAME))
        await server.start()
        await self.set_serving(True)

    async def start(self, addr: str, cluster: ClusterView | None = None) -> int:
        """Bind, and serve; return the port. Errors as those of :meth:`bind`."""
        port = self.bind(addr)
        await self.serve(cluster)
        return port

    async def set_serving(self, serving: bool) -> None:
        """Report through the health service whether appends can succeed."""
        status = health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
        for service in ("", *self.services):
            await self._health.set(service, status)

    async def stop(self, grace: float) -> None:
        """Refuse new calls, give those under way ``grace`` seconds, then cut them. Idempotent."""
        self._stopping = True
        if self._server is not None:
            await self.set_serving(False)
            await self._health.enter_graceful_shutdown()
            await self._server.stop(grace)

    async def watch(self) -> None:
        """Return when the server was stopped.

        Raises:
            RuntimeError: It ended by itself.
        """
        assert self._server is not None, "bind comes first"
        await self._server.wait_for_termination()
        if not self._stopping:
            raise RuntimeError("the gRPC server ended by itself")

    def _options(self) -> list[tuple[str, int]]:
        # Without a grace period, calls under way continue: a stream that is open for days is not cut.
        aging = [("grpc.max_connection_age_ms", int(self._connection_age * 1000))] if self._tls is not None else []
        return [*OPTIONS, *aging]

    def _credentials(self, tls: TLSFiles) -> grpc.ServerCredentials:
        """Return credentials that report their changes, from a gRPC thread."""
        loop = asyncio.get_running_loop()

        def report(kind: EventKind, detail: str) -> None:
            loop.call_soon_threadsafe(self._emit, kind, "", detail)

        self._material = RotatingMaterial(
            tls,
            on_reload=lambda new: report(
                events.CERTIFICATE_RELOADED, f"{new.subject}, valid until {new.not_after.isoformat()}"
            ),
            on_error=lambda problem: report(events.CERTIFICATE_REJECTED, problem),
        )
        self._trust = PeerTrust(self._material)
        return rotating_credentials(self._material)

    def _check_trust(self, auth_context: AuthContext | None) -> None:
        if self._trust is not None:
            self._trust.check(auth_context)

    def _bind(self, server: grpc.aio.Server, addr: str) -> int:
        try:
            if self._tls is None:
                port = server.add_insecure_port(addr)
            else:
                port = server.add_secure_port(addr, self._credentials(self._tls))
        except RuntimeError as exc:
            port = 0
            cause: RuntimeError | None = exc
        else:
            cause = None
        if not port:
            raise ConfigError(
                f"cannot listen on {addr} for gRPC: the port is taken or the address is not this machine's;"
                " choose another with --rpc-port or --bind-addr"
            ) from cause
        return int(port)
