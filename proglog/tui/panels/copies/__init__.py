"""How many copies there are of every record: drawn, in columns, and as a page."""
