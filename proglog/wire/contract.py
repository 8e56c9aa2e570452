"""Constants of the wire contract, each in one place: client and server agree on them."""

from proglog.record.control import MAX_VECTOR_ORIGINS

EVERY_SERVER_OF_FIRST_RELEASE = 0xFFFF_FFFF
"""As ``acks``: how the first release asks for every server. Sent beside ``every_server`` for agents of that release."""

LOG_KEY = "proglog-log-bin"
"""Initial metadata of a produce call: the log that takes the batches."""

WINDOW_KEY = "proglog-window"
"""Initial metadata of a produce call: how many of the last batches of each producer the agent remembers, in decimal."""

LEAST_WINDOW = 5
"""What an agent remembers that does not say so: releases before 0.2."""

MAX_WINDOW = 64
"""More than an agent may claim to remember is taken for as many."""

PROTOCOL_VERSION = 1
"""Of replication: the highest that is spoken here."""
LOWEST_PROTOCOL_VERSION = 1

FEATURES = ("control-batches", "error-info", "every-server", "gone-cause", "passed")
"""What an agent of this release can that the first one could not: control batches on request, ``google.rpc.ErrorInfo``
with every error, ``every_server`` and ``cause`` as fields of their own, and ``passed`` in the answers to consumers."""

NEEDED_FEATURES: tuple[str, ...] = ()
"""What a peer has to know so that this release can replicate with it. A release that adds one shuts out all before it."""

MAX_CURSOR_ORIGINS = MAX_VECTOR_ORIGINS
"""Most origins in one cursor."""

MAX_REASON_CHARACTERS = 500
"""In the reason for which a loss is accepted, at most."""

MAX_PROBLEMS = 1_000
"""Damaged ranges that one verification reports, at most."""
