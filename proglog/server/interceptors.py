"""What every call goes through: who is it, may it, what came of it.

Authorization is decided when a call starts and, on a stream, again whenever the policy has changed. An error that the
table knows becomes its status; any other becomes INTERNAL with a number that telemetry has, and no traceback leaves
the server.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import grpc

from proglog.errors import PermissionDeniedError, ProglogError
from proglog.security.authorizer import Authorizer
from proglog.security.subject import subject_of
from proglog.telemetry import events
from proglog.telemetry.events import Emit
from proglog.wire.status import to_status

ANY_OBJECT = "*"
PRODUCE, CONSUME, OPERATE = "produce", "consume", "operate"
ACTIONS = {
    "/log.v1.Log/Produce": PRODUCE,
    "/log.v1.Log/ProduceStream": PRODUCE,
    "/log.v1.Log/Consume": CONSUME,
    "/log.v1.Log/ConsumeStream": CONSUME,
    "/log.v1.Log/GetServers": CONSUME,
    "/proglog.v1.Batches/Produce": PRODUCE,
    "/proglog.v1.Batches/Consume": CONSUME,
    "/proglog.v1.Positions/Commit": CONSUME,
    "/proglog.v1.Positions/List": CONSUME,
    "/proglog.v1.Replication/Replicate": CONSUME,
    "/proglog.v1.Replication/ReadRange": CONSUME,
    "/proglog.v1.Cluster/GetStatus": CONSUME,
    "/proglog.v1.Cluster/Watch": CONSUME,
    "/proglog.v1.Cluster/Verify": CONSUME,
    "/proglog.v1.Cluster/ForceLeave": OPERATE,
}
"""What a call does."""

OPEN_SERVICES = ("/grpc.health.v1.Health/", "/grpc.reflection.v1alpha.ServerReflection/")
"""Open to whoever passed the handshake. Any other call without an action is denied: forgetting one is not an opening."""

RECHECK_INTERVAL = 2.0
"""Seconds between two looks at the policy's generation on an open stream."""

Context = grpc.aio.ServicerContext[Any, Any]
if TYPE_CHECKING:
    Handler: TypeAlias = grpc.RpcMethodHandler[Any, Any]


class Gate(grpc.aio.ServerInterceptor):
    """Wraps every handler: authorize, run, report."""

    def __init__(
        self,
        authorizer: Authorizer,
        emit: Emit,
        on_end: Callable[[str, str, float], None] = lambda *_: None,
    ) -> None:
        self._authorizer = authorizer
        self._emit = emit
        self._on_end = on_end

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable["Handler | None"]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "Handler | None":
        """Return the handler of a call, wrapped."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        method = str(handler_call_details.method)
        coders = {
            "request_deserializer": handler.request_deserializer,
            "response_serializer": handler.response_serializer,
        }
        if handler.unary_unary:
            return grpc.unary_unary_rpc_method_handler(self._answering(method, handler.unary_unary), **coders)
        if handler.stream_unary:
            return grpc.stream_unary_rpc_method_handler(self._answering(method, handler.stream_unary), **coders)
        if handler.unary_stream:
            return grpc.unary_stream_rpc_method_handler(self._streaming(method, handler.unary_stream), **coders)
        assert handler.stream_stream  # the last of the four kinds
        return grpc.stream_stream_rpc_method_handler(self._streaming(method, handler.stream_stream), **coders)

    def _answering(self, method: str, behavior: Callable[..., Any]) -> Callable[..., Any]:
        async def answer(request: Any, context: Context) -> Any:
            call = _Call(self, method, context)
            try:
                call.authorize()
                response = await behavior(request, context)
            except BaseException as exc:  # noqa: BLE001 - every end of a call is reported, and ends it
                await call.fail(exc)
            else:
                call.finish()
                return response

        return answer

    def _streaming(self, method: str, behavior: Callable[..., Any]) -> Callable[..., Any]:
        async def stream(request: Any, context: Context) -> AsyncIterator[Any]:
            call = _Call(self, method, context)
            watch: asyncio.Task[None] | None = None
            try:
                call.authorize()
                watch = call.watch_policy()
                async for response in behavior(request, context):
                    yield response
            except BaseException as exc:  # noqa: BLE001 - every end of a call is reported, and ends it
                await call.fail(exc)
            else:
                call.finish()
            finally:
                if watch is not None:
                    watch.cancel()

        return stream


class _Call:
    """One call under way."""

    def __init__(self, gate: Gate, method: str, context: Context) -> None:
        self._authorizer = gate._authorizer
        self._emit = gate._emit
        self._on_end = gate._on_end
        self._method = method
        self._context = context
        self._started = time.monotonic()
        self._action = ACTIONS.get(method)
        self._subject = subject_of(context.auth_context())
        self._generation = 0
        self._denied: ProglogError | None = None

    def authorize(self) -> None:
        if self._method.startswith(OPEN_SERVICES):
            return
        if self._action is None:
            raise PermissionDeniedError(self._subject, self._method, ANY_OBJECT)
        # Read before asking: a policy that changes in between is asked again.
        self._generation = self._authorizer.generation
        self._authorizer.authorize(self._subject, ANY_OBJECT, self._action)

    def watch_policy(self) -> asyncio.Task[None] | None:
        """Cut the stream when a changed policy no longer allows it."""
        if self._action is None:
            return None
        caller = asyncio.current_task()
        return asyncio.create_task(self._recheck(caller), name="rpc-policy-watch")

    async def _recheck(self, caller: "asyncio.Task[Any] | None") -> None:
        while True:
            await asyncio.sleep(RECHECK_INTERVAL)
            try:
                if self._authorizer.generation != self._generation:
                    self.authorize()
            except ProglogError as exc:
                self._denied = exc
                if caller is not None:
                    caller.cancel()
                return

    def finish(self) -> None:
        self._emit(events.RPC_FINISHED, **self._end("OK"))

    async def fail(self, exc: BaseException) -> None:
        if isinstance(exc, asyncio.CancelledError) and self._denied is not None:
            exc = self._denied
        if isinstance(exc, ProglogError):
            code, details, metadata = to_status(exc)
            self._emit(events.RPC_REFUSED, "", details, **self._end(code.name))
            await self._context.abort(code, details, metadata)
        if isinstance(exc, grpc.aio.AbortError) or not isinstance(exc, Exception):
            raise exc
        number = secrets.token_hex(4)
        self._emit(events.RPC_FAILED, **self._end("INTERNAL"), number=number, exc_info=exc)
        await self._context.abort(grpc.StatusCode.INTERNAL, f"internal error {number}; the agent's telemetry has it")

    def _end(self, code: str) -> dict[str, Any]:
        """Count the call; return what telemetry says of it."""
        elapsed = time.monotonic() - self._started
        self._on_end(self._method, code, elapsed)
        return {
            "method": self._method,
            "subject": self._subject,
            "peer": self._context.peer(),
            "code": code,
            "elapsed_ms": round(elapsed * 1000, 1),
        }
