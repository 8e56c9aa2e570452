"""Generated protobuf and gRPC stubs, version 1."""
