"""The help: the keys that work right now, generated from the bindings, and what the numbers of a panel mean."""

from collections.abc import Mapping

from textual.binding import ActiveBinding

from proglog.tui.keymap import shown
from proglog.tui.spans import Line, Look, Role, Span, line, wrap

_KEY_CELLS = 16

MEANINGS = {
    "members": (
        "◂ is the agent that is watched; o watches from the one under the cursor.",
        "FOR: how long a member has had its status. RTT: of the agent's last probe.",
        "RECORDS: what this agent holds of the records that a member wrote. WRITES: how fast they arrive here.",
        "✖ failed: it stopped answering probes without a word. ○ left: it said goodbye.",
    ),
    "replication": (
        "HERE, THERE: records of all origins that are durable at this agent and at the peer.",
        "WE TRAIL BY: what the peer holds and this agent does not yet, in records, bytes and seconds.",
        "Its arrow tells whether it grew (↗) or shrank (↘) over the last seconds.",
        "IT TRAILS: what this agent holds and the peer has not confirmed yet.",
        "m shows each origin on its own, then a matrix of who holds how much.",
    ),
    "segments": (
        "The log is a row of segments; appends go to the last one (▸). Offsets are half-open: the end is not in it.",
        "WRITTEN: when its last record was. SPANS: from its first record to its last.",
        "INDEX: ↻ rebuilt was missing or torn and is whole again; ▲ missing makes reads scan.",
    ),
    "throughput": (
        "appended: records that became durable here, a second, copies included. served: records sent to consumers.",
        "lag: records that peers hold and this agent does not yet.",
        "Each column is the maximum of its time: a spike is never averaged away.",
    ),
    "records": (
        "OFFSET counts in this agent's log alone. ORIGIN and SEQUENCE together name a record on every node.",
        "SIZE is that of the value. TIME is what the producer said.",
        "Control characters are shown as visible glyphs; v shows the bytes.",
    ),
    "events": ("What the agent saw happen in the cluster, newest first. Serf's names for membership events.",),
}


def lines(bindings: Mapping[str, ActiveBinding], topic: str | None, look: Look, width: int) -> list[Line]:
    """Returns the help.

    Args:
        bindings: What is bound on the screen that asked.
        topic: Panel with the focus; its numbers are explained.
        look: How to draw.
        width: In cells.
    """
    told: list[Line] = []
    for meaning in MEANINGS.get(topic or "", ()):
        told += wrap(line(_plain(meaning, look)), width)
    if told:
        told = [line(Span((topic or "").capitalize(), Role.ACCENT)), *told, ()]
    return [*told, line(Span("Keys", Role.ACCENT)), *_keys(bindings, width)]


def _plain(text: str, look: Look) -> Span:
    ascii_shapes = str.maketrans("✖○↗↘▸↻▲◂", "x-/\\>~!<")
    return Span(text.translate(ascii_shapes) if look.ascii_only else text)


def _keys(bindings: Mapping[str, ActiveBinding], width: int) -> list[Line]:
    """Returns a line for each action, its keys first: those that the footer shows, then the others."""
    keys: dict[tuple[str, str], list[str]] = {}
    footer_first = sorted(bindings.items(), key=lambda item: not item[1].binding.show)
    for key, active in footer_first:
        words = active.tooltip or active.binding.tooltip or active.binding.description
        if words and active.enabled and not active.binding.system:
            keys.setdefault((active.binding.action, words), []).append(active.binding.key_display or shown(key))
    told = []
    for (_, words), names in keys.items():
        label = " ".join(dict.fromkeys(names))
        told += wrap(line(Span(label.ljust(_KEY_CELLS), Role.STRONG), words), width, indent=_KEY_CELLS)
    return told
