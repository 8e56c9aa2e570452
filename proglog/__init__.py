"""A distributed commit log that one person can run, see and trust from a terminal."""

__version__ = "0.1.0"

DISTRIBUTION = "proglog-cluster"
"""Its name on the package index, where ``proglog`` is another project with the same import package."""
