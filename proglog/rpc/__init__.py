"""The gRPC surface: services, interceptors, the error table, the server."""
