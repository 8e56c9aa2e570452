"""The gRPC server: services, interceptors, and how a log is read for consumers and followers."""
