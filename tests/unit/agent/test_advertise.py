"""What an agent tells others to dial."""

import ipaddress
from pathlib import Path
from typing import Any

import pytest

from proglog.agent import advertise
from proglog.agent.advertise import addresses, private_address
from proglog.agent.config import AgentConfig
from proglog.agent.resolver import Resolver
from proglog.errors import ConfigError
from proglog.types import NodeName


def config(**changes: Any) -> AgentConfig:
    return AgentConfig(node_name=NodeName("a"), data_dir=Path("data"), insecure=True, **changes)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses of this machine's interfaces."""
    found: list[str] = []

    def listed() -> list[Any]:
        return [ipaddress.ip_address(each) for each in found]

    monkeypatch.setattr(advertise, "_ipv4_addresses", listed)
    monkeypatch.setattr(advertise, "_ipv6_addresses", listed)
    return found


@pytest.mark.parametrize(
    ("flags", "gossip", "rpc"),
    [
        ({"bind_addr": "127.0.0.1:7"}, "127.0.0.1:0", "127.0.0.1:8400"),
        ({"bind_addr": "localhost:7"}, "127.0.0.1:0", "localhost:8400"),
        ({"bind_addr": "[::1]:7"}, "[::1]:0", "[::1]:8400"),
        ({"bind_addr": "0.0.0.0:7"}, "10.0.0.5:0", "10.0.0.5:8400"),
        ({"bind_addr": "0.0.0.0:7", "advertise_addr": "192.0.2.9"}, "192.0.2.9:0", "192.0.2.9:8400"),
        ({"bind_addr": "0.0.0.0:7", "advertise_addr": "192.0.2.9:70"}, "192.0.2.9:70", "192.0.2.9:8400"),
        ({"bind_addr": "0.0.0.0:7", "rpc_advertise_addr": "pod-0.proglog"}, "10.0.0.5:0", "pod-0.proglog:8400"),
        ({"bind_addr": "0.0.0.0:7", "rpc_advertise_addr": "[2001:db8::1]:9"}, "10.0.0.5:0", "[2001:db8::1]:9"),
    ],
)
async def test_others_learn_what_they_can_dial(
    machine: list[str], flags: dict[str, str], gossip: str, rpc: str
) -> None:
    machine += ["127.0.0.1", "169.254.1.1", "8.8.8.8", "10.0.0.5"]
    told = await addresses(config(**flags), 8400, Resolver())
    assert (told.gossip, told.rpc) == (gossip, rpc)


@pytest.mark.parametrize(("wildcard", "found"), [("0.0.0.0", ["127.0.0.1", "8.8.8.8"]), ("::", ["::1", "fe80::1"])])
def test_a_machine_without_a_private_address_is_to_be_told_its_address(
    machine: list[str], wildcard: str, found: list[str]
) -> None:
    machine += found
    with pytest.raises(ConfigError, match=rf"--bind-addr {wildcard}: .* give --advertise-addr HOST:PORT"):
        private_address(wildcard)


def test_this_machine_s_interfaces_can_be_listed() -> None:
    assert ipaddress.ip_address("127.0.0.1") in advertise._ipv4_addresses()
    assert all(address.version == 6 for address in advertise._ipv6_addresses())


@pytest.mark.parametrize("flag", ["advertise_addr", "rpc_advertise_addr"])
@pytest.mark.parametrize("addr", ["0.0.0.0", "0.0.0.0:7", "[::]:7", "::"])
def test_a_wildcard_is_advertised_by_nobody(flag: str, addr: str) -> None:
    with pytest.raises(ConfigError, match="a wildcard cannot be dialled"):
        config(**{flag: addr})


async def test_a_server_on_loopback_is_not_advertised_to_other_machines(machine: list[str]) -> None:
    machine += ["10.0.0.5"]
    with pytest.raises(ConfigError, match="would dial themselves"):
        await addresses(config(bind_addr="0.0.0.0:7", rpc_advertise_addr="127.0.0.1"), 8400, Resolver())


async def test_a_name_that_is_advertised_and_means_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"--advertise-addr: no\.such\.host\.invalid cannot be resolved"):
        await addresses(config(advertise_addr="no.such.host.invalid"), 8400, Resolver())
