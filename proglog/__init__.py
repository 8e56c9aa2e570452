"""A distributed commit log that one person can run, see and trust from a terminal."""

__version__ = "0.1.0"
