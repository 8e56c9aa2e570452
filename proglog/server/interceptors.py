"""Authenticates, authorizes, admits and reports every call.

A call is authorized when it starts and, on a stream, again whenever policy or authorities have changed. A known error becomes its
status from the table; any other becomes INTERNAL with a number to look up in telemetry. No traceback leaves the server.
"""

import asyncio
import inspect
import secrets
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

import grpc
from google.protobuf.message import DecodeError
from grpc._cython import cygrpc  # type: ignore[attr-defined]  # it has no stubs

from proglog.errors import (
    DeadlineError,
    InternalError,
    InvalidRequestError,
    PermissionDeniedError,
    ProglogError,
    UnauthenticatedError,
    UnavailableError,
)
from proglog.security.actions import CONSUME, DESCRIBE, OBSERVE, OPERATE, PRODUCE, REPLICATE
from proglog.security.authorizer import Authorizer
from proglog.security.subject import subject_of
from proglog.server import reflection
from proglog.server.admission import (
    ARRIVAL_SECONDS,
    EXPECTED_REQUEST_BYTES,
    MAX_WAIT,
    MIN_REQUEST_BYTES,
    Admission,
    Bound,
)
from proglog.server.answers import AnswerRoom, answer_room
from proglog.server.connections import close_connection
from proglog.server.context import Context
from proglog.tasks import TaskScope
from proglog.telemetry import events
from proglog.telemetry.emit import Emit
from proglog.telemetry.tracing import TRACEPARENT, Tracing
from proglog.wire.status import to_status

ANY_OBJECT = "*"
REQUEST_TIMEOUT = 30.0
"""Seconds from a call's turn to its only request's arrival."""
ACTIONS = {
    "/log.v1.Log/Produce": PRODUCE,
    "/log.v1.Log/ProduceStream": PRODUCE,
    "/log.v1.Log/Consume": CONSUME,
    "/log.v1.Log/ConsumeStream": CONSUME,
    "/log.v1.Log/GetServers": DESCRIBE,
    "/proglog.v1.Batches/Produce": PRODUCE,
    "/proglog.v1.Batches/Consume": CONSUME,
    "/proglog.v1.Positions/Commit": CONSUME,
    "/proglog.v1.Positions/List": CONSUME,
    "/proglog.v1.Positions/Reset": OPERATE,
    "/proglog.v1.Replication/Replicate": REPLICATE,
    "/proglog.v1.Replication/ReadRange": REPLICATE,
    "/proglog.v1.Cluster/GetStatus": OBSERVE,
    "/proglog.v1.Cluster/Watch": OBSERVE,
    "/proglog.v1.Cluster/History": OBSERVE,
    "/proglog.v1.Cluster/Verify": OBSERVE,
    "/proglog.v1.Cluster/ForceLeave": OPERATE,
    "/proglog.v1.Cluster/Drain": OPERATE,
    "/proglog.v1.Membership/SendEvent": OPERATE,
    "/proglog.v1.Membership/FollowEvents": OBSERVE,
    "/proglog.v1.Membership/Query": OPERATE,
    "/proglog.v1.Membership/SetTags": OPERATE,
    "/proglog.v1.Membership/Join": OPERATE,
    "/proglog.v1.Membership/Leave": OPERATE,
    "/proglog.v1.Membership/Keys": OPERATE,
    "/proglog.v1.Membership/RoundTrip": OBSERVE,
    "/proglog.v1.Losses/Accept": OPERATE,
}
"""The action that each call requires."""

OPEN_SERVICES = ("/grpc.health.v1.Health/", *(f"/{service}/" for service in reflection.SERVICES))
"""Open to any client that passed the handshake. Any other call without an action is denied: an omission must not open one."""

RECHECK_INTERVAL = 2.0
"""Seconds between two looks at an open call: its rights, its certificate, and whether its client reads."""
UNREAD_SECONDS = 18.0
"""Seconds after which a call ends whose client has not taken an answer; large answers get more."""
LEAST_BYTES_PER_SECOND = 256 * 1024
PRESSED_SECONDS = 2.0
LEAST_BYTES_PER_SECOND_PRESSED = 1024 * 1024
"""The same while other calls wait for room for their answers."""
CUT_SECONDS = 2.0
"""Seconds from a call's end, while its client reads nothing, to the end of the connection."""

if TYPE_CHECKING:
    Handler: TypeAlias = grpc.RpcMethodHandler[Any, Any]
Status: TypeAlias = tuple[grpc.StatusCode, str, tuple[tuple[str, str | bytes], ...]]
Parse: TypeAlias = Callable[[bytes], Any]
Serialize: TypeAlias = Callable[[Any], bytes]


class Gate(grpc.aio.ServerInterceptor):
    """Wraps every handler: authorize, run, report."""

    def __init__(
        self,
        authorizer: Authorizer,
        emit: Emit,
        on_end: Callable[[str, str, float, int, int], None] = lambda *_: None,
        admission: Admission | None = None,
        trust: Callable[[Any], None] = lambda _: None,
        tracing: Tracing | None = None,
    ) -> None:
        self._tracing = tracing
        self._trust = trust
        self._admission = admission or Admission()
        self._authorizer = authorizer
        self._emit = emit
        self._on_end = on_end

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable["Handler | None"]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "Handler | None":
        """Return the handler of a call, wrapped.

        It takes the requests of every call as a stream of bytes, even if there is only one, so that a call is authorized
        and admitted before its request is received.
        """
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        method = str(handler_call_details.method)
        parse = handler.request_deserializer or bytes
        serialize = handler.response_serializer or bytes
        if handler.unary_unary or handler.stream_unary:
            behavior: Any = _on_stream(handler.unary_unary) if handler.unary_unary else handler.stream_unary
            if ACTIONS.get(method) == PRODUCE:  # small answers: one step of the transport instead of three
                return grpc.stream_unary_rpc_method_handler(
                    self._answering(method, behavior, parse, serialize), response_serializer=_unless_bytes(serialize)
                )
            behavior, streams = _one_answer(behavior), False
        else:
            behavior = _streaming_on_stream(handler.unary_stream) if handler.unary_stream else handler.stream_stream
            streams = True
        return grpc.stream_stream_rpc_method_handler(
            self._streaming(method, behavior, parse, serialize, streams=streams),
            response_serializer=_unless_bytes(serialize),
        )

    def _answering(
        self, method: str, behavior: Callable[..., Any], parse: Parse, serialize: Serialize
    ) -> Callable[..., Any]:
        async def answer(_: object, context: Context) -> Any:
            call = _Call(self, method, context)
            requests = _Requests(context, call, parse, call.request_bytes(self._admission), streams=False)
            try:
                call.authorize()
                async with self._admission.call(call.peer, call.kind):
                    response = serialize(await behavior(requests, context))
                    call.sent_bytes += len(response)
            except BaseException as exc:  # noqa: BLE001 - every end of a call is reported, and ends it
                await call.fail(exc)
            else:
                call.finish()
                return response
            finally:
                requests.close()

        return answer

    def _streaming(
        self, method: str, behavior: Callable[..., Any], parse: Parse, serialize: Serialize, *, streams: bool
    ) -> Callable[..., Any]:
        async def stream(_: object, context: Context) -> AsyncIterator[Any]:
            call = _Call(self, method, context, streams=streams)
            requests = _Requests(context, call, parse, call.request_bytes(self._admission), streams=True)
            room = AnswerRoom(self._admission.answers, call.owner)
            answer_room.set(room)  # each call has a task of its own
            tasks = TaskScope()
            try:
                call.authorize()
                async with self._admission.call(call.peer, call.kind):
                    call.watch(tasks, self._admission.answers)
                    async for response in behavior(requests, context):
                        data = [serialize(response)]
                        del response  # only the transport's copy waits for the client
                        with call.writing(len(data[0])):
                            yield data.pop()
                        room.release()
                        requests.answered()
            except BaseException as exc:  # noqa: BLE001 - every end of a call is reported, and ends it
                await call.fail(exc)
            else:
                call.finish()
            finally:
                room.release()
                requests.close()
                await tasks.close()

        return stream


def _unless_bytes(serialize: Serialize) -> Serialize:
    """Serialize what a behavior writes itself, past the gate: what comes through the gate is bytes already."""
    return lambda answer: answer if isinstance(answer, bytes) else serialize(answer)


def _on_stream(behavior: Callable[..., Any]) -> Callable[..., Any]:
    async def answer(requests: "_Requests", context: Context) -> Any:
        return await behavior(await requests.only(), context)

    return answer


def _one_answer(behavior: Callable[..., Any]) -> Callable[..., Any]:
    async def stream(requests: "_Requests", context: Context) -> AsyncIterator[Any]:
        answers = [await behavior(requests, context)]
        yield answers.pop()

    return stream


def _streaming_on_stream(behavior: Callable[..., Any]) -> Callable[..., Any]:
    async def stream(requests: "_Requests", context: Context) -> AsyncIterator[Any]:
        answers = behavior(await requests.only(), context)
        if inspect.isawaitable(answers):  # health's, for one, writes them itself
            await answers
            return
        async for response in answers:
            yield response

    return stream


class _Requests:
    """The requests of one call as they arrive. With a bound, each is received only once there is room for it.

    A request holds its room until the call ends; on a stream, until its answer was sent: produce streams answer one for
    one, in order.
    """

    def __init__(self, context: Context, call: "_Call", parse: Parse, bound: Bound | None, *, streams: bool) -> None:
        self._read = context.read
        self._call = call
        self._parse = parse
        self._bound = bound
        self._connection = call.peer
        self._streams = streams
        self._sizes: deque[int] = deque()
        self._expected = EXPECTED_REQUEST_BYTES
        self._reserved = 0
        self._giving_back: asyncio.TimerHandle | None = None

    async def only(self) -> Any:
        """Return the one request of a call that has one.

        Raises:
            InvalidRequestError: The request is missing or malformed.
            TooManyCallsError: There was no room for it in time.
            DeadlineError: It did not arrive in time.
        """
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT):
                request = await self._next()
        except TimeoutError:
            raise DeadlineError(f"the request did not arrive within {REQUEST_TIMEOUT:g} s") from None
        if request is grpc.aio.EOF:
            raise InvalidRequestError("the call ended before its request had come")
        return request

    async def __aiter__(self) -> AsyncIterator[Any]:
        """Yield the requests.

        Raises:
            InvalidRequestError: A request is malformed.
        """
        arrived: list[Any] = []
        while (arrived := [await self._next()])[0] is not grpc.aio.EOF:
            yield arrived.pop()  # and keep none: the next one may be long in coming

    async def _next(self) -> Any:
        await self._wait_for_room()
        try:
            received = await self._read()
        except cygrpc._ServerStoppedError:
            raise asyncio.CancelledError from None
        finally:
            self._give_back()
        if received is grpc.aio.EOF:
            return received
        self._call.received_bytes += len(received)
        self._call.check_allowed()
        self._hold(len(received))
        try:
            return self._parse(received)
        except DecodeError:
            raise InvalidRequestError("what was sent is no message of this call") from None

    def answered(self) -> None:
        """Release the oldest request on a stream: it was answered."""
        if self._bound is not None and self._sizes:
            self._bound.release(self._connection, self._sizes.popleft())

    def close(self) -> None:
        """Release everything held."""
        self._give_back()
        while self._sizes:
            self.answered()

    async def _wait_for_room(self) -> None:
        if self._bound is None:
            return
        # On a stream this slows the sender, for as long as it takes.
        await self._bound.acquire(self._connection, self._expected, max_wait=None if self._streams else MAX_WAIT)
        self._reserved = self._expected
        patience = ARRIVAL_SECONDS if self._streams else MAX_WAIT
        self._giving_back = asyncio.get_running_loop().call_later(patience, self._give_back)

    def _give_back(self) -> None:
        """Reserve nothing any more: the request has arrived, or its client takes its time."""
        reserved, self._reserved = self._reserved, 0
        if self._giving_back is not None:
            self._giving_back.cancel()
        if reserved and self._bound is not None:
            self._bound.release(self._connection, reserved)

    def _hold(self, size: int) -> None:
        if self._bound is not None:
            self._bound.hold(self._connection, size)
            self._sizes.append(size)
            self._expected = max(size, MIN_REQUEST_BYTES)


class _Call:
    """One call under way."""

    def __init__(self, gate: Gate, method: str, context: Context, *, streams: bool = False) -> None:
        self._authorizer = gate._authorizer
        self._trust = gate._trust
        self._emit = gate._emit
        self._on_end = gate._on_end
        self._tracing = gate._tracing
        self._traceparent = _traceparent_of(context) if gate._tracing else ""
        self._method = method
        self._context = context
        self.peer = context.peer()  # now: gRPC has forgotten it, and crashes, once a cancelled call is collected
        self._started = time.monotonic()
        self._action = ACTIONS.get(method)
        self._shown = context.auth_context()
        self._subject = subject_of(self._shown)
        self._generation = 0
        self._denied: Exception | None = None
        self._finished = events.STREAM_FINISHED if streams else events.RPC_FINISHED
        self._writing: tuple[float, int] | None = None
        """Since when the transport has an answer, and its size."""
        self._is_reported = False
        self.received_bytes = self.sent_bytes = 0

    @property
    def owner(self) -> str:
        """The one that its answers count for: the subject, on however many connections; without one, the connection."""
        return self._subject or self.peer

    @property
    def kind(self) -> str:
        """The kind that admission counts it as."""
        return self._action or OPERATE

    def request_bytes(self, admission: Admission) -> Bound | None:
        """Return the bound of its requests' bytes, if it has one."""
        return admission.requests if self._action == PRODUCE else None

    def authorize(self) -> None:
        """Check the caller's certificate and right.

        Raises:
            UnauthenticatedError: A new connection with this certificate would be refused.
            PermissionDeniedError: No rule allows the call.
        """
        self._trust(self._shown)
        if self._method.startswith(OPEN_SERVICES):
            return
        if self._action is None:
            raise PermissionDeniedError(self._subject, self._method, ANY_OBJECT)
        # Read before authorizing: a policy that changes in between is checked again.
        self._generation = self._authorizer.generation
        self._authorizer.authorize(self._subject, ANY_OBJECT, self._action)

    def watch(self, tasks: TaskScope, answers: Bound) -> None:
        """End the call when policy or certificate no longer allow it, or cannot be asked, and when its client reads nothing."""
        tasks.start(self._recheck(asyncio.current_task(), answers), name="rpc-watch")

    async def _recheck(self, caller: "asyncio.Task[Any] | None", answers: Bound) -> None:
        while True:
            await asyncio.sleep(RECHECK_INTERVAL)
            try:
                self._check_certificate()
                if self._authorizer.generation != self._generation:
                    self.authorize()
                self._check_taken(pressed=bool(answers.waiting))
            except Exception as exc:  # noqa: BLE001 - the call fails with it
                self._denied = exc
                if self._writing is not None:
                    await self._cut(exc)
                elif caller is not None:
                    caller.cancel()
                return

    def _check_taken(self, *, pressed: bool) -> None:
        """Check that the client takes what it is sent; with less patience while other calls wait for the room.

        Raises:
            UnavailableError: It does not.
        """
        if self._writing is None:
            return
        since, size = self._writing
        waited = time.monotonic() - since
        patience = UNREAD_SECONDS + size / LEAST_BYTES_PER_SECOND
        if waited > (PRESSED_SECONDS + size / LEAST_BYTES_PER_SECOND_PRESSED if pressed else patience):
            raise UnavailableError(f"an answer of {size:,} bytes was unread for {waited:.0f} s: call again to read on")

    async def _cut(self, exc: Exception) -> None:
        """End the call while the transport waits for its client to read.

        The status goes behind the answer. A client that does not take it either loses its connection: nothing less
        frees what the transport holds for it.
        """
        status = self._report(exc)
        try:
            async with asyncio.timeout(CUT_SECONDS):
                await self._context.abort(*status)
        except TimeoutError:
            close_connection(self.peer)
        except grpc.aio.AbortError:
            pass  # the client has it

    def _check_certificate(self) -> None:
        """Have a client whose certificate is withdrawn call again: it may have a new one by now.

        Raises:
            UnavailableError: A new connection with this certificate would be refused.
        """
        try:
            self._trust(self._shown)
        except UnauthenticatedError as exc:
            raise UnavailableError(f"{exc}: connect again with one that is valid") from exc

    @contextmanager
    def writing(self, size: int) -> Iterator[None]:
        """Hand an answer of ``size`` bytes to gRPC, for as long as that takes: gRPC swallows a cancellation meanwhile.

        Raises:
            PermissionDeniedError: The right was withdrawn since.
        """
        self._writing = time.monotonic(), size
        yield
        self._writing = None
        self.sent_bytes += size
        self.check_allowed()

    def check_allowed(self) -> None:
        """Return unless the right was withdrawn: what comes in after that is not taken.

        Raises:
            PermissionDeniedError: It was.
        """
        if self._denied is not None:
            raise self._denied

    def finish(self) -> None:
        self._emit(self._finished, **self._end("OK"))

    async def fail(self, exc: BaseException) -> None:
        """Report how the call ended, and end it so; one that the server's end has overtaken was cut like the others."""
        if self._is_reported:  # it was cut
            raise exc
        if isinstance(exc, cygrpc._ServerStoppedError):
            exc = asyncio.CancelledError()
        if isinstance(exc, asyncio.CancelledError) and self._denied is not None:
            exc = self._denied
        if isinstance(exc, grpc.aio.AbortError):
            raise exc
        if not isinstance(exc, Exception):
            self._emit(self._finished, **self._end("CANCELLED"))
            raise exc
        await self._context.abort(*self._report(exc))

    def _report(self, exc: Exception) -> Status:
        """Report how the call ended; return the status that says so."""
        self._is_reported = True
        if isinstance(exc, ProglogError):
            code, details, metadata = to_status(exc)
            self._emit(events.RPC_REFUSED, "", details, **self._end(code.name))
            return code, details, metadata
        number = secrets.token_hex(4)
        self._emit(events.RPC_FAILED, **self._end("INTERNAL"), number=number, exc_info=exc)
        return to_status(InternalError(f"internal error {number}; the agent's telemetry has it"))

    def _end(self, code: str) -> dict[str, Any]:
        """Count the call; return its fields for telemetry."""
        elapsed = time.monotonic() - self._started
        self._on_end(self._method, code, elapsed, self.received_bytes, self.sent_bytes)
        if self._tracing is not None:
            sizes = {"received_bytes": self.received_bytes, "sent_bytes": self.sent_bytes}
            self._tracing.call_ended(self._method, code, elapsed, self._traceparent, subject=self._subject, **sizes)
        return {
            "method": self._method,
            "subject": self._subject,
            "peer": self.peer,
            "code": code,
            "elapsed_ms": round(elapsed * 1000, 1),
            "received_bytes": self.received_bytes,
            "sent_bytes": self.sent_bytes,
        }


def _traceparent_of(context: Context) -> str:
    """Return what the caller says of its trace; empty: nothing."""
    found = next((value for key, value in context.invocation_metadata() or () if key == TRACEPARENT), "")
    return found if isinstance(found, str) else ""
