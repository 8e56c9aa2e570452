"""Clusters of agents on hosts of their own; without root and network namespaces these tests say why they do not run."""

import base64
import os
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from kit import netns
from kit.cluster import Cluster
from proglog.security.devcerts import DevCerts

LONG = os.environ.get("PROGLOG_LONG") == "1"

OpenCluster = Callable[..., AbstractAsyncContextManager[Cluster]]


@pytest.fixture(scope="session", autouse=True)
def _namespaces() -> None:
    if reason := netns.why_not():
        pytest.skip(reason)


@pytest.fixture(scope="session")
def long() -> bool:
    """Whether durations are those of the list, instead of short ones."""
    return LONG


@pytest.fixture
def open_cluster(tmp_path: Path) -> OpenCluster:
    """``async with open_cluster("abc") as cluster``: nodes that have started, with encrypted gossip."""
    key_file = tmp_path / "gossip.keys"
    key_file.write_bytes(base64.b64encode(bytes(range(32))) + b"\n")
    key_file.chmod(0o600)
    key_file.chmod(0o600)

    @asynccontextmanager
    async def opened(names: str, *, start: str | None = None, **flags: str) -> AsyncGenerator[Cluster]:
        given = {flag.replace("_", "-"): value for flag, value in flags.items()}
        async with Cluster(tmp_path, names, flags={"encrypt-file": str(key_file), **given}) as cluster:
            if start != "":
                await cluster.start(start or ())
            yield cluster

    return opened


@pytest.fixture
def open_tls_cluster(tmp_path: Path, dev_certs: DevCerts) -> OpenCluster:
    """As ``open_cluster``, with TLS on both sides of every connection, and plain gossip."""

    @asynccontextmanager
    async def opened(names: str) -> AsyncGenerator[Cluster]:
        addresses = [f"10.77.0.{number}" for number in range(1, len(names) + 1)]
        server = dev_certs.add_server("cluster", server_names=("127.0.0.1", *addresses))
        flags = {
            f"{side}-tls-{part}-file": str(getattr(files, f"{part}_file"))
            for side, files in (("server", server), ("peer", dev_certs.peer))
            for part in ("ca", "cert", "key")
        }
        async with Cluster(tmp_path, names, flags=flags, tls=dev_certs.clients["root"]) as cluster:
            await cluster.start()
            yield cluster

    return opened
