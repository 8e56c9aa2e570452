"""One agent as a client reaches it: its channel, made in the loop of the first call, and again when files changed.

A channel shows the certificate that it was made with. So each call leases the channel, and the lease looks
whether the files are others by now: then the next calls go over a new channel, and the old one is closed when the last
call on it has ended.
"""

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import grpc.aio

from proglog.addr import split_addr
from proglog.api.v1 import batches_pb2_grpc, cluster_pb2_grpc, losses_pb2_grpc, membership_pb2_grpc
from proglog.client.channel import error_of, open_channel
from proglog.errors import ClosedError, ConfigError, ProglogError, UsageError
from proglog.security.files import Watched
from proglog.security.tls import TLSFiles

logger = logging.getLogger("proglog.client")


@dataclass(eq=False)
class Wire:
    """One channel, and what calls it can make."""

    channel: grpc.aio.Channel
    users: int = 0
    batches: "batches_pb2_grpc.BatchesAsyncStub" = field(init=False)
    positions: "batches_pb2_grpc.PositionsAsyncStub" = field(init=False)
    cluster: "cluster_pb2_grpc.ClusterAsyncStub" = field(init=False)
    losses: "losses_pb2_grpc.LossesAsyncStub" = field(init=False)
    membership: "membership_pb2_grpc.MembershipAsyncStub" = field(init=False)

    def __post_init__(self) -> None:
        """Make the stubs."""
        self.batches = batches_pb2_grpc.BatchesStub(self.channel)
        self.positions = batches_pb2_grpc.PositionsStub(self.channel)
        self.cluster = cluster_pb2_grpc.ClusterStub(self.channel)
        self.losses = losses_pb2_grpc.LossesStub(self.channel)
        self.membership = membership_pb2_grpc.MembershipStub(self.channel)


class Link:
    """The way to one agent. Nothing is made before the first lease."""

    def __init__(self, addr: str, tls: TLSFiles | None) -> None:
        """Check what is given.

        Raises:
            ConfigError: ``addr`` is not HOST:PORT, or a TLS file cannot be used.
        """
        split_addr(addr, "agent")
        if tls is not None:
            tls.load()
        self.addr = addr
        self.tls = tls
        self._wire: Wire | None = None
        self._watched: Watched | None = None
        """The TLS files, from the first channel on."""
        self._closed = False
        self._owner: tuple[int, asyncio.AbstractEventLoop] | None = None

    @asynccontextmanager
    async def lease(self) -> AsyncIterator[Wire]:
        """Hand out the channel for one call.

        Raises:
            UsageError: The client was closed, or is used in another loop or process than before.
            ConfigError: The TLS files cannot be used, and never could in this loop.
        """
        wire = self.acquire()
        try:
            yield wire
        finally:
            await self.release(wire)

    def acquire(self) -> Wire:
        """Hand out the channel until :meth:`release`; errors as those of :meth:`lease`."""
        self.check()
        wire = self._current()
        wire.users += 1
        return wire

    async def release(self, wire: Wire) -> None:
        """Take the channel back; close it if it is an old one without a lease."""
        wire.users -= 1
        if wire is not self._wire and not wire.users:
            await wire.channel.close()

    def check(self) -> None:
        """Let the first loop and process be the only ones, until that loop is closed.

        Raises:
            UsageError: This is another one.
            ClosedError: The client was closed.
        """
        if self._closed:
            raise ClosedError("the client was closed")
        process = os.getpid()
        if self._owner is not None and self._owner[0] != process:  # asyncio knows no running loop in a forked child
            raise UsageError(
                "this client was connected before the process was forked: connect in the child,"
                " or start it with multiprocessing's spawn"
            )
        loop = asyncio.get_running_loop()
        if self._owner is None:
            self._owner = process, loop
        _, its_loop = self._owner
        if its_loop is not loop:
            if not its_loop.is_closed():
                raise UsageError(
                    "this client belongs to another event loop: connect once in each loop, and in each thread"
                )
            self._owner, self._wire = (process, loop), None  # that loop's channel died with it

    def error_of(self, exc: grpc.aio.AioRpcError) -> ProglogError:
        """Return what a failed call means to its caller."""
        return error_of(exc, self.addr, self.tls)

    @property
    def is_open(self) -> bool:
        """Whether it has a channel."""
        return self._wire is not None

    async def close(self) -> None:
        """Close the channel; calls under way end. Idempotent."""
        self._closed = True
        wire, self._wire = self._wire, None
        if wire is not None and self._owner == (os.getpid(), asyncio.get_running_loop()):
            await wire.channel.close()

    def _current(self) -> Wire:
        version = () if self.tls is None else self.tls.version()
        wire = self._wire
        if wire is not None and not (self._watched and self._watched.is_due(version)):
            return wire
        try:
            made = Wire(open_channel(self.addr, self.tls))
        except ConfigError as exc:
            if wire is None or self._watched is None:
                raise
            if self._watched.refuse(version, str(exc)):
                logger.warning("%s: %s; the certificate loaded before stays in use", self.addr, exc)
            return wire
        if wire is None or self._watched is None:
            self._watched = Watched(version)
        else:
            self._watched.take(version)
            logger.info("%s: the TLS files changed, and the next connection shows the new certificate", self.addr)
        self._wire = made
        return made
