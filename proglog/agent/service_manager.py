"""Tells systemd that the agent is ready, stopping or alive: datagrams of words, to the socket that NOTIFY_SOCKET names.

Without that variable nothing is sent. With a watchdog (WATCHDOG_USEC), the event loop says that it is alive twice in each
interval: an agent whose loop hangs is restarted.

Source: sd_notify(3), sd_watchdog_enabled(3).
"""

import asyncio
import os
import socket
from collections.abc import Mapping


class ServiceManager:
    """What started the agent, as far as it wants to know."""

    def __init__(self, variables: Mapping[str, str], process_id: int) -> None:
        """Take the address from ``variables``; the watchdog only where it is meant for ``process_id``."""
        address = variables.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        meant = variables.get("WATCHDOG_PID", str(process_id)) == str(process_id)
        interval = variables.get("WATCHDOG_USEC", "")
        self._interval = int(interval) / 1e6 if meant and interval.isdecimal() else 0.0

    @property
    def watches(self) -> bool:
        """Whether it restarts an agent whose loop hangs."""
        return bool(self._address and self._interval)

    def say(self, word: str) -> None:
        """Send a word such as ``READY=1``. One that does not arrive is no reason to end: systemd then acts by its own bounds."""
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as connection:
            try:
                connection.sendto(word.encode(), self._address)
            except OSError:
                return

    async def watch(self) -> None:
        """Say that the loop is alive until cancelled; return at once where nobody asks."""
        while self.watches:
            self.say("WATCHDOG=1")
            await asyncio.sleep(self._interval / 2)


def service_manager() -> ServiceManager:
    """Return that of this process."""
    return ServiceManager(os.environ, os.getpid())
