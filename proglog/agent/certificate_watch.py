"""Watches the ends of certificates that no handshake of this node's server shows: what peers are shown, and authorities.

The server's own certificate is judged from what handshakes present (:mod:`proglog.observe.health`).
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from proglog.errors import ConfigError
from proglog.security.tls import TLSFiles, utc_now
from proglog.telemetry import events
from proglog.telemetry.emit import Emit, EventKind

LOOK_INTERVAL = 60.0
WARNING = timedelta(days=14)


@dataclass(slots=True)
class CertificateWatch:
    """Looks while :meth:`run` runs; each change of what is to be said is an event."""

    server: TLSFiles | None
    peer: TLSFiles | None
    emit: Emit
    now: Callable[[], datetime] = utc_now
    _said: dict[str, tuple[EventKind, str]] = field(default_factory=dict)

    async def run(self) -> None:
        """Check periodically until cancelled; without TLS there is nothing to check."""
        while self.server or self.peer:
            self.tell(await asyncio.to_thread(self.look))
            await asyncio.sleep(LOOK_INTERVAL)

    def look(self) -> dict[str, tuple[EventKind, str]]:
        """Return what is to be said of each certificate. Reads files: on a thread."""
        found = {}
        if self.peer:
            found["certificate for peers"] = self._judge(self.peer.certificate_ends, str(self.peer.cert_file))
            found["authority of peers"] = self._judge(self.peer.authorities_end, str(self.peer.ca_file))
        if self.server:
            found["authority of clients"] = self._judge(self.server.authorities_end, str(self.server.ca_file))
        return found

    def tell(self, found: dict[str, tuple[EventKind, str]]) -> None:
        """Report what is news."""
        for subject, (kind, detail) in found.items():
            before, _ = self._said.get(subject, (events.CERTIFICATE_FRESH, ""))
            if (kind, detail) != self._said.get(subject) and (kind, before) != (events.CERTIFICATE_FRESH,) * 2:
                self.emit(kind, subject, detail)
        self._said = found

    def _judge(self, end_of: Callable[[], datetime], file: str) -> tuple[EventKind, str]:
        try:
            end = end_of()
        except ConfigError as exc:
            return events.CERTIFICATE_ENDED, str(exc)
        left = end - self.now()
        if left <= timedelta(0):
            return events.CERTIFICATE_ENDED, f"{file} ended at {end:%Y-%m-%dT%H:%M:%SZ}"
        kind = events.CERTIFICATE_AGING if left < WARNING else events.CERTIFICATE_FRESH
        return kind, f"{file} ends at {end:%Y-%m-%dT%H:%M:%SZ}"
