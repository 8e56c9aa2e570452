"""The demonstration: a cluster of real processes, a real file through it, and what came of it."""
