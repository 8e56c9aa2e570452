"""The command lines that say the same as the screen: what a reader learns here works in a script too."""

import shlex

_VERBS = (
    ("members", "The members, as a table"),
    ("members --watch", "The members, as they change"),
    ("status", "The agent, its log and its peers"),
    ("lag --watch", "How far each copy trails"),
    ("segments", "The segments of the log"),
    ("consume --follow", "The records at the end of the log, as they come"),
)


def equivalents(addr: str) -> list[tuple[str, str]]:
    """Returns command lines for an agent at ``addr``, each with what it prints."""
    return [(f"proglog {verb} --addr {shlex.quote(addr)}", words) for verb, words in _VERBS]
