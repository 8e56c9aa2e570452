"""Routes Serf's events in an agent: to telemetry, the feed, scripts, and the state kept for a restart."""

from proglog.agent.event_handlers import EventHandlers
from proglog.agent.keyring_file import KeyringFile
from proglog.agent.known_members import KnownMembers
from proglog.gossip.events import Event, KeyringChanged, UserEventReceived
from proglog.server.event_feed import EventFeed
from proglog.telemetry import events
from proglog.telemetry.emit import Emit

MAX_SHOWN_BYTES = 200


class SerfEvents:
    """Listens to a membership."""

    def __init__(
        self, feed: EventFeed, scripts: EventHandlers, known: KnownMembers, keys: KeyringFile, emit: Emit
    ) -> None:
        """Hand events to these."""
        self._feed = feed
        self._scripts = scripts
        self._known = known
        self._keys = keys
        self._emit = emit

    def take(self, event: Event) -> None:
        """Take an event of the core in."""
        match event:
            case UserEventReceived(name=name, payload=payload, ltime=ltime):
                self._feed.add(event)
                shown = payload[:MAX_SHOWN_BYTES].decode("utf-8", "backslashreplace")
                self._emit(events.USER_EVENT, name, shown, ltime=ltime)
                self._known.changed()
            case KeyringChanged():
                self._keys.changed()
            case _:
                pass
        self._scripts.take(event)
