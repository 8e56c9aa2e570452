"""Constants of the wire contract, each in one place: client and server agree on them."""

ALL_ACKS = 0xFFFF_FFFF
"""As ``acks``: every server alive when the batch arrives."""

LOG_KEY = "proglog-log-bin"
"""Initial metadata of a produce call: the log that takes the batches."""

MAX_CURSOR_ORIGINS = 4096
"""Most origins in one cursor."""

MAX_REASON_CHARACTERS = 500
"""In the reason for which a loss is accepted, at most."""

MAX_PROBLEMS = 1_000
"""Damaged ranges that one verification reports, at most."""
