"""The client for scripts, notebooks and threads: the same names and errors, without ``async``.

::

    from proglog.client import Record
    from proglog.client.sync import connect

    with connect("127.0.0.1:8400") as client:
        with client.producer() as producer:
            producer.send(Record(value=b"hello")).result()
        for batch in client.consume():
            print(batch.values())

All clients of a process share one event loop on a thread of its own. Any thread may call; a call waits for its answer, and
an interrupt (Ctrl-C) ends the wait and the call. Never call it from inside an event loop: it would block that loop.
"""

import asyncio
import concurrent.futures
import os
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from proglog.client import connect as connect_async
from proglog.client.accumulator import Acknowledged, Tally
from proglog.client.client import Client as AsyncClient
from proglog.client.consumer import Consumer as AsyncConsumer
from proglog.client.cursor import Cursor
from proglog.client.delivery import Deliveries, Delivery, Written
from proglog.client.fetched import FetchedBatch
from proglog.client.named import NamedConsumer as AsyncNamedConsumer
from proglog.client.offset_spec import OffsetSpec
from proglog.client.positions import NamedPosition
from proglog.client.producer import Producer as AsyncProducer
from proglog.errors import ClosedError, DeadlineError, UsageError
from proglog.record.record import BytesLike, Record
from proglog.security.tls import TLSFiles
from proglog.wire.model import ClusterSnapshot

__all__ = ["Client", "Consumer", "NamedConsumer", "Outcome", "Producer", "connect"]

Result = TypeVar("Result")
DEFAULT_TIMEOUT = 10.0


class _Loop:
    """The loop of all clients, on a daemon thread; a forked child gets one of its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._process = 0

    def call(self, work: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
        """Run a coroutine on the loop and wait for it; it is made there, since what it makes belongs to the loop."""
        self._refuse_loops()

        async def run() -> Result:
            return await work()

        future = asyncio.run_coroutine_threadsafe(run(), self.running())
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def start(self, work: Callable[[], Coroutine[Any, Any, Result]]) -> "concurrent.futures.Future[Result]":
        """Run a coroutine on the loop, and do not wait."""

        async def run() -> Result:
            return await work()

        return asyncio.run_coroutine_threadsafe(run(), self.running())

    def running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None or self._process != os.getpid():
                self._loop, self._process = asyncio.new_event_loop(), os.getpid()
                threading.Thread(target=self._loop.run_forever, name="proglog-client", daemon=True).start()
            return self._loop

    def _refuse_loops(self) -> None:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return
        raise UsageError("proglog.client.sync was called inside an event loop: use proglog.client there")


_LOOP = _Loop()


class Outcome(Generic[Result]):
    """The outcome of a record, or of many values. Usable from any thread."""

    def __init__(self, sent: Delivery | Deliveries) -> None:
        """Ask for nothing yet."""
        self._sent = sent

    @property
    def done(self) -> bool:
        """Whether the outcome is known."""
        return self._sent.done

    def result(self, timeout: float | None = None) -> Result:
        """Return where it is: errors as those of awaiting a :class:`~proglog.client.Delivery`.

        Raises:
            DeadlineError: It is not known within ``timeout`` seconds.
        """

        async def written() -> Any:
            try:
                async with asyncio.timeout(timeout):
                    return await self._sent.written()
            except TimeoutError:
                raise DeadlineError(f"no outcome within {timeout:g} s: the record is still on its way") from None

        result: Result = _LOOP.call(written)
        return result


class Producer:
    """As :class:`proglog.client.Producer`."""

    def __init__(self, producer: AsyncProducer) -> None:
        """Wrap one that belongs to the loop."""
        self._producer = producer

    def __enter__(self) -> Self:
        """Open it."""
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Flush and close it; after an error, close at once."""
        _LOOP.call(lambda: self._producer.leave(error))

    def open(self) -> None:
        """As :meth:`proglog.client.Producer.open`."""
        _LOOP.call(self._producer.open)

    def close(self, drain: float | None = None) -> Tally:
        """As :meth:`proglog.client.Producer.close`."""
        return _LOOP.call(lambda: self._producer.close(drain))

    def send(self, record: Record) -> Outcome[Written]:
        """As :meth:`proglog.client.Producer.send`; call ``result()`` on what is returned."""
        return Outcome(_LOOP.call(lambda: self._producer.send(record)))

    def send_and_wait(self, record: Record) -> Written:
        """As :meth:`proglog.client.Producer.send_and_wait`."""
        return _LOOP.call(lambda: self._producer.send_and_wait(record))

    def send_values(self, values: Sequence[bytes]) -> Outcome[tuple[Acknowledged, ...]]:
        """As :meth:`proglog.client.Producer.send_values`."""
        return Outcome(_LOOP.call(lambda: self._producer.send_values(values)))

    def flush(self, timeout: float | None = None) -> None:
        """As :meth:`proglog.client.Producer.flush`."""
        _LOOP.call(lambda: self._producer.flush(timeout))

    @property
    def state(self) -> str:
        """As :attr:`proglog.client.Producer.state`."""
        return self._producer.state

    @property
    def counts(self) -> Tally:
        """As :attr:`proglog.client.Producer.counts`."""
        return self._producer.counts

    @property
    def acknowledged(self) -> int:
        """Records that are durable on as many nodes as asked for."""
        return self._producer.acknowledged


class Consumer:
    """As :class:`proglog.client.Consumer`: iterate over it, or call :meth:`get`."""

    def __init__(self, consumer: AsyncConsumer | AsyncNamedConsumer) -> None:
        """Wrap one that belongs to the loop."""
        self._consumer = consumer

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *error: object) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """As :meth:`proglog.client.Consumer.close`."""
        _LOOP.call(self._consumer.close)

    def __iter__(self) -> Iterator[FetchedBatch]:
        """Yield the batches; after a ``break``, another call resumes there."""
        while (batch := self.get()) is not None:
            yield batch

    def get(self, timeout: float | None = None) -> FetchedBatch | None:
        """As :meth:`proglog.client.Consumer.get`."""
        return _LOOP.call(lambda: self._consumer.get(timeout))

    @property
    def cursor(self) -> Cursor | None:
        """As :attr:`proglog.client.Consumer.cursor`."""
        return self._consumer.cursor

    @property
    def ended(self) -> bool:
        """As :attr:`proglog.client.Consumer.ended`."""
        return self._consumer.ended


class NamedConsumer(Consumer):
    """As :class:`proglog.client.NamedConsumer`."""

    def __init__(self, consumer: AsyncNamedConsumer) -> None:
        """Wrap one that belongs to the loop."""
        super().__init__(consumer)
        self._named = consumer

    def __enter__(self) -> Self:
        """Find its position."""
        _LOOP.call(self._named.enter)
        return self

    def __exit__(self, *error: object) -> None:
        """Commit what was dealt with, and close it."""
        failure = error[1] if isinstance(error[1], BaseException) else None
        _LOOP.call(lambda: self._named.leave(failure))

    def processed(self, cursor: Cursor | None) -> None:
        """As :meth:`proglog.client.NamedConsumer.processed`."""
        self._named.processed(cursor)

    def commit(self) -> None:
        """As :meth:`proglog.client.NamedConsumer.commit`."""
        _LOOP.call(self._named.commit)


class Client:
    """As :class:`proglog.client.Client`; ``with`` closes it. Any thread may use it."""

    def __init__(self, client: AsyncClient) -> None:
        """Wrap one that belongs to the loop."""
        self._client = client

    def __enter__(self) -> Self:
        """Nothing is sent yet.

        Raises:
            ClosedError: It was closed.
        """
        if self._client.closed:
            raise ClosedError("the client was closed: connect again")
        return self

    def __exit__(self, *error: object) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """As :meth:`proglog.client.Client.close`."""
        _LOOP.call(self._client.close)

    def producer(self, **arguments: Any) -> Producer:
        """As :meth:`proglog.client.Client.producer`, with the same arguments; hooks run on the loop's thread."""
        return Producer(self._client.producer(**arguments))

    def consume(
        self, start: OffsetSpec | Cursor | None = None, end: OffsetSpec | None = None, **arguments: Any
    ) -> Consumer:
        """As :meth:`proglog.client.Client.consume`, with the same arguments."""
        return Consumer(self._client.consume(start, end, **arguments))

    def named(
        self, name: str, start: OffsetSpec | Cursor | None = None, end: OffsetSpec | None = None, **arguments: Any
    ) -> NamedConsumer:
        """As :meth:`proglog.client.Client.named`, with the same arguments."""
        return NamedConsumer(self._client.named(name, start, end, **arguments))

    def produce_value(self, value: BytesLike) -> int:
        """As :meth:`proglog.client.Client.produce_value`."""
        return _LOOP.call(lambda: self._client.produce_value(value))

    def consume_value(self, offset: int) -> bytes:
        """As :meth:`proglog.client.Client.consume_value`."""
        return _LOOP.call(lambda: self._client.consume_value(offset))

    def positions(self, name: str | None = None) -> list[NamedPosition]:
        """As :meth:`proglog.client.Client.positions`."""
        return _LOOP.call(lambda: self._client.positions(name))

    def reset_position(self, name: str) -> int:
        """As :meth:`proglog.client.Client.reset_position`."""
        return _LOOP.call(lambda: self._client.reset_position(name))

    def status(self) -> ClusterSnapshot:
        """As :meth:`proglog.client.Client.status`."""
        return _LOOP.call(self._client.status)


def connect(
    addrs: str | Sequence[str] | None = None, *, tls: TLSFiles | None = None, timeout: float = DEFAULT_TIMEOUT
) -> Client:
    """As :func:`proglog.client.connect`."""
    return Client(connect_async(addrs, tls=tls, timeout=timeout))
