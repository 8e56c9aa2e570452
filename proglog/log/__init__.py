"""The storage engine: store, index, segment and log, synchronous and local."""
