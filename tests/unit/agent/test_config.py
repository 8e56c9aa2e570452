"""What an agent refuses to start with."""

from pathlib import Path

import pytest

from proglog.addr import RPC_ADDR_TAG, rpc_addr_of
from proglog.agent.config import AgentConfig
from proglog.errors import ConfigError
from proglog.security.tls import TLSFiles
from proglog.types import NodeName

FILES = TLSFiles(cert_file=Path("cert"), key_file=Path("key"), ca_file=Path("ca"))


def config(bind_addr: str, **options: object) -> AgentConfig:
    return AgentConfig(
        node_name=NodeName("a"), data_dir=Path("data"), bind_addr=bind_addr, server_tls=FILES, peer_tls=FILES, **options
    )  # type: ignore[arg-type]


@pytest.mark.parametrize("bind_addr", ["0.0.0.0:8401", "192.0.2.1:8401", "[::]:8401"])
def test_tls_that_others_reach_wants_a_gossip_key_or_to_be_told_so(bind_addr: str) -> None:
    with pytest.raises(ConfigError, match=r"--encrypt-file.*--insecure-gossip"):
        config(bind_addr)

    config(bind_addr, encrypt_file=Path("gossip.key"))
    config(bind_addr, insecure_gossip=True)


def test_on_this_machine_alone_gossip_needs_no_key() -> None:
    config("127.0.0.1:8401")


@pytest.mark.parametrize(
    "addr",
    ["", "unix:/tmp/x", "xds:///a:1", "dns:///a:1", "a", "a:0", "a:70000", "a:1:2", "ipv4:1.2.3.4:5", "a b:1", "a:1\n"],
)
def test_what_is_no_host_and_port_is_nobodys_address(addr: str) -> None:
    assert rpc_addr_of({RPC_ADDR_TAG: addr}) == rpc_addr_of({}) == ""


@pytest.mark.parametrize("addr", ["127.0.0.1:8400", "[::1]:8400", "pod-0.proglog:8400"])
def test_a_host_and_port_is_an_address(addr: str) -> None:
    assert rpc_addr_of({RPC_ADDR_TAG: addr}) == addr
