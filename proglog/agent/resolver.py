"""Resolves host names without delaying an exit: each look-up has a thread that no exit waits for.

``getaddrinfo`` may block for the sum of the resolver's timeouts, and cannot be cancelled. The event loop runs it on a
pool that the process waits for at exit; these threads are daemons. Concurrent look-ups of a name share one answer, so
there is at most one thread per name.
"""

import asyncio
import ipaddress
import socket
import threading

from proglog.errors import UnavailableError

MAX_LOOKUPS = 64
"""Names that are looked up at once."""


class Resolver:
    """Looks names up. Belongs to one event loop."""

    def __init__(self) -> None:
        """Start with nothing under way."""
        self._under_way: dict[str, asyncio.Future[tuple[str, ...]]] = {}

    async def resolve(self, host: str) -> tuple[str, ...]:
        """Return the IP addresses of ``host``, IPv4 first, each once; an address is its own.

        Raises:
            UnavailableError: It has none, is no name, or too many are being looked up.
        """
        if _is_address(host):
            return (host,)
        waiting = self._under_way.get(host)
        if waiting is None:
            if len(self._under_way) >= MAX_LOOKUPS:
                raise UnavailableError(f"{host}: {MAX_LOOKUPS} other names are being looked up")
            waiting = self._start(host)
        return await asyncio.shield(waiting)

    def _start(self, host: str) -> asyncio.Future[tuple[str, ...]]:
        loop = asyncio.get_running_loop()
        waiting: asyncio.Future[tuple[str, ...]] = loop.create_future()
        waiting.add_done_callback(lambda done: done.cancelled() or done.exception())  # there may be no waiter left

        def end(addresses: tuple[str, ...], error: str) -> None:
            self._under_way.pop(host, None)
            if waiting.done():
                return
            if addresses:
                waiting.set_result(addresses)
            else:
                waiting.set_exception(UnavailableError(f"{host} cannot be resolved: {error}"))

        def look_up() -> None:
            addresses, error = _look_up(host)
            try:
                loop.call_soon_threadsafe(end, addresses, error)
            except RuntimeError:
                return  # the loop is closed: there are no waiters

        thread = threading.Thread(target=look_up, name=f"resolve-{host[:40]}", daemon=True)
        try:
            thread.start()
        except RuntimeError as exc:
            raise UnavailableError(f"{host} cannot be resolved: {exc}") from exc
        self._under_way[host] = waiting
        return waiting


def _look_up(host: str) -> tuple[tuple[str, ...], str]:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except UnicodeError:
        return (), "it is no host name: a label is empty or longer than 63 characters"
    except OSError as exc:
        return (), exc.strerror or str(exc)
    ordered = sorted(found, key=lambda each: each[0] != socket.AF_INET)
    return tuple(dict.fromkeys(str(each[4][0]) for each in ordered)), "it has no address"


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True
