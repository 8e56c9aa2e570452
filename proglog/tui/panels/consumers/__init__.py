"""Who consumes, and how far behind."""
