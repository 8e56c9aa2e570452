"""How fast the log grows and is read."""
