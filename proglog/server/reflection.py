"""Server reflection, v1 and v1alpha: the two differ in their name only, and grpcio's package has the second.

Source: ``grpc/reflection/v1/reflection.proto``.
"""

from collections.abc import Sequence

import grpc.aio
from grpc_reflection.v1alpha import reflection, reflection_pb2

V1 = "grpc.reflection.v1.ServerReflection"
SERVICES = (V1, reflection.SERVICE_NAME)


def serve_reflection(server: grpc.aio.Server, services: Sequence[str]) -> None:
    """Serve reflection of ``services``."""
    names = (*services, *SERVICES)
    reflection.enable_server_reflection(names, server)
    method = grpc.stream_stream_rpc_method_handler(
        reflection.aio.ReflectionServicer(names).ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(V1, {"ServerReflectionInfo": method}),))
