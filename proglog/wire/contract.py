"""Constants of the wire contract, each in one place: client and server agree on them."""

ALL_ACKS = 0xFFFF_FFFF
"""As ``acks``: every server alive when the batch arrives."""

LOG_KEY = "proglog-log-bin"
"""Initial metadata of a produce call: the log that takes the batches."""

PROTOCOL_VERSION = 1
"""Of replication: the highest that is spoken here."""
LOWEST_PROTOCOL_VERSION = 1

FEATURES = ("control-batches", "error-info", "passed")
"""What an agent of this release can that the first one could not: control batches on request, ``google.rpc.ErrorInfo``
with every error, and ``passed`` in the answers to consumers."""

MAX_CURSOR_ORIGINS = 4096
"""Most origins in one cursor."""

MAX_REASON_CHARACTERS = 500
"""In the reason for which a loss is accepted, at most."""

MAX_PROBLEMS = 1_000
"""Damaged ranges that one verification reports, at most."""
