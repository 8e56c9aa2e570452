"""Who may take part: networks that are allowed, and names that are valid. By default all are.

Without a list, memberlist's rules apply: any address. With one, traffic from other networks is dropped before it costs
anything, and so is any relayed claim that a member is there.

Source: memberlist ``config.go`` (``CIDRsAllowed``), serf ``serf.go`` (``ValidateNodeName``).
"""

import ipaddress
import re
from collections.abc import Sequence
from functools import lru_cache

from proglog.errors import ConfigError
from proglog.gossip.errors import MalformedMessageError
from proglog.gossip.wire import printable

MAX_NAME_BYTES = 128
_INVALID_IN_NAME = re.compile(r"[^A-Za-z0-9.-]")
_REMEMBERED = 4096

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class MemberRules:
    """The rules of one node."""

    def __init__(self, networks: Sequence[Network] = (), *, strict_names: bool = False) -> None:
        """Allow members in ``networks``, or anywhere if there is none.

        Args:
            networks: As from :func:`parse_networks`.
            strict_names: Whether names are letters, digits, ``-`` and ``.`` only, 1 to ``MAX_NAME_BYTES`` bytes.
        """
        self._networks = tuple(networks)
        self._strict_names = strict_names
        self._looked_up = lru_cache(maxsize=_REMEMBERED)(self._look_up)

    def allows(self, host: str) -> bool:
        """Return whether members may be at ``host``, an IP address."""
        return not self._networks or self._looked_up(host)

    def check(self, name: str, host: str) -> None:
        """Check a member that somebody announces.

        Raises:
            MalformedMessageError: Its name is invalid, or its address not allowed.
        """
        if self._strict_names and not is_strict_name(name):
            raise MalformedMessageError(f"the name {printable(name)!r} is not valid here")
        if not self.allows(host):
            raise MalformedMessageError(f"{printable(name)!r} at {host}, which is in no network that is allowed here")

    def _look_up(self, host: str) -> bool:
        try:
            address = ipaddress.ip_address(host.partition("%")[0])
        except ValueError:
            return False
        mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        return any((mapped or address) in network for network in self._networks)


def is_strict_name(name: str) -> bool:
    """Return whether ``name`` is one that a stock agent with ``validate_node_names`` takes."""
    return bool(name) and len(name) <= MAX_NAME_BYTES and _INVALID_IN_NAME.search(name) is None


def parse_networks(given: Sequence[str], flag: str) -> tuple[Network, ...]:
    """Return the networks in ``given``: ``10.0.0.0/8``, ``fd00::/8``; an address alone is a network of one.

    Raises:
        ConfigError: One is no network, or has bits set beyond its prefix.
    """
    networks: list[Network] = []
    for text in given:
        try:
            networks.append(ipaddress.ip_network(text.strip()))
        except ValueError as exc:
            raise ConfigError(f"{flag} {text!r}: expected a network such as 10.0.0.0/8 or fd00::/8: {exc}") from exc
    return tuple(networks)
