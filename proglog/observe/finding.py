"""One thing that needs attention. The rules of :mod:`proglog.observe.health` make them."""

from dataclasses import dataclass

from proglog.observe.event_findings import Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that needs attention."""

    key: str
    """Which rule and which subject: the same finding has the same key in every snapshot."""
    severity: Severity
    subject: str
    """Member, origin or directory that it is about. Foreign text."""
    cause: str
    """What is wrong, to be read after the subject. May hold foreign text."""
    advice: str
    """What to do, or what will happen by itself. May hold foreign text."""
    effect: str = ""
    """What follows from it now; empty: nothing beyond the cause."""
    at_risk: str = ""
    """What may be lost; empty: nothing."""
    since_ms: int = -1
    """How long it has lasted, milliseconds; -1: not known."""
    verb: str = "status"
    """The verb of the command line that shows more."""
    at: str = ""
    """The agent to run it against, HOST:PORT; empty: the one that reported. Foreign text."""
    unready: bool = False
    """Whether the node should get no writes: the health service says NOT_SERVING."""

    @property
    def rule(self) -> str:
        """Which rule it came from."""
        return self.key.partition("/")[0]
