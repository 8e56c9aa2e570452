"""An agent without sockets, threads or a disk, for programs in virtual time: its service and its log are the real ones.

A produce call goes over a connection of its own, with delays either way. It breaks for both sides (:meth:`cut`), or for
the client only, while what it sent last stays on its way (:meth:`strand`, :meth:`deliver`).
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import grpc
import grpc.aio
from grpc._cython import cygrpc  # type: ignore[attr-defined]  # it has no stubs

from proglog.api.v1 import batches_pb2
from proglog.client.channel import error_of
from proglog.errors import InternalError, LogClosedError, PermissionDeniedError, ProglogError
from proglog.log.config import LogConfig
from proglog.log.log import Log
from proglog.log.model import LocalAppend, LogPosition, Outcome
from proglog.record import scan
from proglog.record.batch import VerifiedBatch
from proglog.server.acks import Acks
from proglog.server.batch_service import BatchService
from proglog.server.commit_log import CommitLog, Fence
from proglog.server.context import Context
from proglog.server.followers import Followers
from proglog.tasks import TaskScope
from proglog.testing.files import FaultyFiles
from proglog.types import FilePosition, NodeName, Offset, OriginId
from proglog.wire.status import to_status

DATA = Path("/log")
CONFIG = LogConfig(ballast_bytes=0)
TICK = 1e-9
"""Seconds between two messages of one direction: timers of one moment run in any order."""
Status = tuple[grpc.StatusCode, str, tuple[tuple[str, bytes], ...]]
BROKEN: Status = (grpc.StatusCode.UNAVAILABLE, "Socket closed", ())
REFUSED: Status = (grpc.StatusCode.UNAVAILABLE, "failed to connect: Connection refused", ())


class VirtualAgent:
    """Also the link of a producer to it."""

    def __init__(self, name: str, seed: int) -> None:
        """Be down, with an empty disk; the seed decides the delays."""
        self.addr = name
        self.files = FaultyFiles(seed)
        self.random = Random(seed)
        self.closed_to = False
        """Whether the access rules let nobody in."""
        self.holds_answers = False
        self.holds_requests = False
        self.answers_at = 0.0
        """No answer arrives before."""
        self._former: list[FaultyFiles] = []
        """The disks of logs that it had before."""
        self._log: _WrittenLog | None = None
        self._calls: list[_Call] = []
        self._tasks = TaskScope()

    # What a test does to it

    async def start(self) -> None:
        """Open the log and serve. Idempotent."""
        if self._log is None:
            log = Log.open(DATA, CONFIG, files=self.files, node_name=NodeName(self.addr))
            self._log = _WrittenLog(log, self._delay)

    async def kill(self) -> None:
        """End it, with the power of its disk."""
        if self._log is not None:
            log, self._log = self._log, None
            self.cut()
            await self._tasks.close()
            log.close()
            self.files.kill()

    async def heal(self) -> None:
        """Undo every fault."""
        self.files.capacity_bytes = None
        self.closed_to = False
        self.answers_at = 0.0
        self.cut()
        await self.start()
        self.free()

    def cut(self) -> None:
        """Break every connection, for both sides; what is withheld is lost."""
        self.holds_answers = self.holds_requests = False
        calls, self._calls = self._calls, []
        for call in calls:
            call.break_for_client()
            call.break_for_agent()

    def hold_answers(self) -> None:
        """Withhold its answers until a cut."""
        self.holds_answers = True

    def hold_requests(self) -> None:
        """Withhold requests until they are stranded, or cut."""
        self.holds_requests = True

    def delay_answers(self, until: float) -> None:
        """Let no answer arrive before ``until``."""
        self.answers_at = until

    async def replace(self) -> None:
        """Come back with another log, as after the loss of a disk."""
        await self.kill()
        self._former.append(self.files)
        self.files = FaultyFiles(self.random.randrange(1 << 30))
        await self.start()

    def strand(self) -> None:
        """Break every connection for its client only."""
        self.holds_requests = False
        for call in self._calls:
            call.break_for_client()

    def deliver(self) -> None:
        """Pass on what was withheld of stranded calls."""
        for call in self._calls:
            if call.broken:
                call.release()

    def fill(self) -> None:
        """Leave no room on the disk."""
        self.files.capacity_bytes = self.files.used_bytes()

    def refuse(self) -> None:
        """Let nobody in from now on."""
        self.closed_to = True
        self.cut()

    def free(self) -> None:
        """Make room on the disk."""
        self.files.capacity_bytes = None
        if self._log is not None:
            self._log.log.retain()  # it looks whether a full disk has room again

    async def logs(self) -> list[list[bytes]]:
        """Kill it; return what each log that it had contains after a restart."""
        await self.kill()
        return [self._values(files) for files in (*self._former, self.files)]

    def _values(self, files: FaultyFiles) -> list[bytes]:
        files.capacity_bytes = None
        log = Log.open(DATA, CONFIG, files=files, node_name=NodeName(self.addr))
        values: list[bytes] = []
        at = LogPosition(Offset(0), FilePosition(0))
        while (read := log.read(at, 1 << 22)).data:
            values += [value for batch in scan.batches(read.data) for value in scan.values(batch)]
            at = read.next
        log.close()
        return values

    # As a link

    def check(self) -> None:
        """Every loop and process may use it."""

    @asynccontextmanager
    async def lease(self) -> AsyncIterator[Any]:
        """Hand out what calls it."""
        yield SimpleNamespace(batches=SimpleNamespace(Produce=self._produce))

    def error_of(self, exc: grpc.aio.AioRpcError) -> ProglogError:
        """As that of a link."""
        return error_of(exc, self.addr, None)

    def _produce(self) -> "_Call":
        if self._log is None:
            return _Call(self._delay, self.random, REFUSED)
        if self.closed_to:
            return _Call(self._delay, self.random, to_status(PermissionDeniedError("nobody", "produce", "*")))
        call = _Call(self._delay, self.random, None)
        call.holds_answers = lambda: self.holds_answers
        call.holds_requests = lambda: self.holds_requests
        call.answers_at = lambda: self.answers_at
        service = BatchService(cast("CommitLog", self._log), Acks(Followers(), lambda: 1, self._log.log.holds))
        call.serving = self._tasks.start(call.serve(service), name="virtual-call")
        self._calls.append(call)
        return call

    def _delay(self) -> float:
        return self.random.choice((0.0002, 0.0005, 0.003))


class _WrittenLog:
    """A log that appends in order, a moment after it was asked to; what is appended was also synced."""

    def __init__(self, log: Log, delay: Callable[[], float]) -> None:
        self.log = log
        self._delay = delay
        self._waiting: deque[tuple[VerifiedBatch, Fence | None, asyncio.Future[Outcome]]] = deque()
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def origin(self) -> OriginId:
        return self.log.origin

    async def queue(self, batch: VerifiedBatch, fence: Fence | None = None) -> asyncio.Future[Outcome]:
        """As that of a writer: a caller that is cancelled does not take the batch back."""
        if self._closed:
            raise LogClosedError
        answer: asyncio.Future[Outcome] = self._loop.create_future()
        self._waiting.append((batch, fence, answer))
        if self._timer is None:
            self._timer = self._loop.call_later(self._delay(), self._write)
        return answer

    def close(self) -> None:
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        self.log.close()

    def _write(self) -> None:
        self._timer = None
        while self._waiting:
            batch, fence, answer = self._waiting.popleft()
            outcome: Outcome
            if fence is not None and fence.failure is not None:
                outcome = fence.failure
            else:
                try:
                    (outcome,) = self.log.append([LocalAppend(batch)])
                except ProglogError as exc:
                    outcome = exc
                if fence is not None and isinstance(outcome, ProglogError):
                    fence.failure = outcome
            if not answer.done():
                answer.set_result(outcome)


class _Call:
    """One produce call: for the client what gRPC's is, for the service its context."""

    def __init__(self, delay: Callable[[], float], random: Random, refusal: Status | None) -> None:
        self.broken = False
        self.holds_answers: Callable[[], bool] = lambda: False
        self.holds_requests: Callable[[], bool] = lambda: False
        self.answers_at: Callable[[], float] = lambda: 0.0
        self.serving: asyncio.Task[None] | None = None
        self._cython_call = self
        self._delay = delay
        self._random = random
        self._loop = asyncio.get_running_loop()
        self._metadata: asyncio.Future[tuple[tuple[str, str | bytes], ...]] = self._loop.create_future()
        self._answers: asyncio.Queue[object] = asyncio.Queue()
        self._status: Status | None = None
        """How the call ended, once the client can know."""
        self._requests: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._withheld: list[bytes | None] = []
        self._up_at = self._down_at = 0.0
        if refusal is not None:
            self._later_down(self._end, refusal)

    # The client's

    async def initial_metadata(self) -> tuple[tuple[str, str | bytes], ...]:
        return await asyncio.shield(self._metadata)

    async def code(self) -> grpc.StatusCode:
        await self.initial_metadata()
        return self._status[0] if self._status else grpc.StatusCode.OK

    async def read(self) -> object:
        answer = await self._answers.get()
        for _ in range(self._random.choice((0, 0, 1, 4))):  # gRPC also hands an answer over some turns after it came
            await asyncio.sleep(0)
        if answer is not None:
            return answer
        self._answers.put_nowait(None)
        assert self._status is not None
        code, details, trailing = self._status
        if code is grpc.StatusCode.OK:
            return grpc.aio.EOF
        raise grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(*trailing), details)

    async def send_serialized_message(self, message: bytes) -> None:
        if self._status is not None:
            raise cygrpc.InternalError("the call is over")
        self._send(message)

    async def done_writing(self) -> None:
        self._send(None)

    def cancel(self) -> None:
        """What was sent may still arrive; the agent hears of the end behind it."""
        if self._status is None:
            self._end((grpc.StatusCode.CANCELLED, "Locally cancelled by application!", ()))
            self._later_up(self.break_for_agent)

    def _send(self, message: bytes | None) -> None:
        if self.holds_requests() or self._withheld:
            self._withheld.append(message)
        else:
            self._later_up(self._requests.put_nowait, message)

    # The network's

    def release(self) -> None:
        withheld, self._withheld = self._withheld, []
        for message in withheld:
            self._later_up(self._requests.put_nowait, message)

    def break_for_client(self) -> None:
        self.broken = True
        self._end(BROKEN)

    def break_for_agent(self) -> None:
        if self.serving is not None:
            self.serving.cancel()

    def _end(self, status: Status) -> None:
        if self._status is None:
            self._status = status
            self._answers.put_nowait(None)
            if not self._metadata.done():
                self._metadata.set_result(())

    def _later_up(self, what: Callable[..., object], *arguments: object) -> None:
        self._up_at = max(self._up_at + TICK, self._loop.time() + self._delay())
        self._loop.call_at(self._up_at, what, *arguments)

    def _later_down(self, what: Callable[..., object], *arguments: object) -> None:
        if self.holds_answers() or self.broken:
            return  # until the connection is cut: they are lost
        self._down_at = max(self._down_at + TICK, self._loop.time() + self._delay(), self.answers_at())
        self._loop.call_at(self._down_at, what, *arguments)

    # The agent's

    async def send_initial_metadata(self, metadata: Iterable[tuple[str, str | bytes]]) -> None:
        self._later_down(self._meet, tuple(metadata))

    def _meet(self, metadata: tuple[tuple[str, str | bytes], ...]) -> None:
        if not self._metadata.done():
            self._metadata.set_result(metadata)

    def _answer(self, response: object) -> None:
        if self._status is None:
            self._answers.put_nowait(response)

    async def serve(self, service: BatchService) -> None:
        try:
            produced = cast("AsyncGenerator[object]", service.Produce(self._arriving(), cast("Context", self)))
            async with aclosing(produced) as responses:
                async for response in responses:
                    self._later_down(self._answer, response)
        except ProglogError as exc:
            self._later_down(self._end, to_status(exc))
        except Exception as exc:
            self._later_down(self._end, to_status(InternalError(repr(exc))))
            raise
        else:
            self._later_down(self._end, (grpc.StatusCode.OK, "", ()))

    async def _arriving(self) -> AsyncIterator[batches_pb2.ProduceBatchRequest]:
        while (message := await self._requests.get()) is not None:
            yield batches_pb2.ProduceBatchRequest.FromString(message)
