"""The format: record batches and the columns in them, as pure functions over bytes."""
