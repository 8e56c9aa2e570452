"""Diagnostics: structured events on stderr, metrics, and the names of both."""
