"""The Python clients of every peer, each in a process of its own: ``WORK ADDR TOPIC COUNT BYTES`` prints records a second.

Each clock starts when the client is connected and ends when the last record is acknowledged, or its value touched.
"""

import asyncio
import sys
import time
from collections.abc import Callable, Coroutine
from typing import Any

import uvloop

IN_FLIGHT = 4096
"""Publications of NATS under way at a time: its client gathers none by itself."""
PIPELINE = 1000
"""Commands in one round trip of Redis: likewise."""


def values(count: int, size: int) -> list[bytes]:
    """Return all that is sent, so that making it is not measured."""
    return [b"%0*d" % (size, number) for number in range(count)]


async def proglog_calls(addr: str, topic: str, count: int, size: int) -> float:
    """``Producer.send``, without waiting for each delivery."""
    import proglog.client
    from proglog.client import Record

    del topic
    sent = values(count, size)
    async with proglog.client.connect(addr) as client, client.producer() as producer:
        await producer.send_values([b"first contact"])
        await producer.flush()
        started = time.monotonic()
        for value in sent:
            await producer.send(Record(value=value))
        await producer.flush()
        return count / (time.monotonic() - started)


async def proglog_records(addr: str, topic: str, count: int, size: int) -> float:
    """``.records()``: an object a record."""
    import proglog.client

    del topic
    async with proglog.client.connect(addr) as client:
        await client.status()
        started, seen, total = time.monotonic(), 0, 0
        async for fetched in client.consume():
            for record in fetched.records():
                total += len(record.value)
                seen += 1
        return _all(seen, count, total, size) / (time.monotonic() - started)


async def proglog_values(addr: str, topic: str, count: int, size: int) -> float:
    """``.values()``: the bytes alone."""
    import proglog.client

    del topic
    async with proglog.client.connect(addr) as client:
        await client.status()
        started, seen, total = time.monotonic(), 0, 0
        async for fetched in client.consume():
            for value in fetched.values():
                total += len(value)
                seen += 1
        return _all(seen, count, total, size) / (time.monotonic() - started)


async def proglog_one(addr: str, topic: str, count: int, size: int) -> float:
    """The book's ``Produce``."""
    from proglog.api.v1 import log_pb2, log_pb2_grpc
    from proglog.client.channel import open_channel

    del topic
    async with open_channel(addr, None) as channel:
        await channel.channel_ready()
        stub, request = log_pb2_grpc.LogStub(channel), log_pb2.ProduceRequest(record={"value": bytes(size)})
        started = time.monotonic()
        for _ in range(count):
            await stub.Produce(request)
        return count / (time.monotonic() - started)


def kafka_calls(addr: str, topic: str, count: int, size: int) -> float:
    """``produce``, of confluent-kafka: librdkafka gathers them."""
    from confluent_kafka import Producer

    sent = values(count, size)
    producer = Producer({"bootstrap.servers": addr, "acks": "all", "queue.buffering.max.messages": 1_000_000})
    producer.produce(topic, b"first contact")
    producer.flush()
    started = time.monotonic()
    for value in sent:
        while True:
            try:
                producer.produce(topic, value)
                break
            except BufferError:
                producer.poll(0.01)
    assert producer.flush() == 0, "a record was not delivered"
    return count / (time.monotonic() - started)


def kafka_values(addr: str, topic: str, count: int, size: int) -> float:
    """``consume(10000)``, of confluent-kafka."""
    from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

    consumer = Consumer({"bootstrap.servers": addr, "group.id": "bench", "enable.auto.commit": False})
    consumer.list_topics(topic)
    started, seen, total = time.monotonic(), 0, 0
    consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
    while seen < count:
        for message in consumer.consume(10_000, 1.0):
            total += len(message.value())
            seen += 1
    rate = _all(seen, count, total, size) / (time.monotonic() - started)
    consumer.close()
    return rate


def kafka_one(addr: str, topic: str, count: int, size: int) -> float:
    """``produce`` and ``flush``, of confluent-kafka, without the time for which it waits for company."""
    from confluent_kafka import Producer

    producer = Producer({"bootstrap.servers": addr, "acks": "all", "linger.ms": 0})
    producer.produce(topic, b"first contact")
    producer.flush()
    value, started = bytes(size), time.monotonic()
    for _ in range(count):
        producer.produce(topic, value)
        producer.flush()
    return count / (time.monotonic() - started)


def redis_calls(addr: str, topic: str, count: int, size: int) -> float:
    """``xadd`` in pipelines."""
    sent, redis = values(count, size), _redis(addr)
    started = time.monotonic()
    for first in range(0, count, PIPELINE):
        pipeline = redis.pipeline(transaction=False)
        for value in sent[first : first + PIPELINE]:
            pipeline.xadd(topic, {"v": value})
        pipeline.execute()
    return count / (time.monotonic() - started)


def redis_values(addr: str, topic: str, count: int, size: int) -> float:
    """``xrange`` of 10,000."""
    redis, after = _redis(addr), "-"
    started, seen, total = time.monotonic(), 0, 0
    while entries := redis.xrange(topic, min=after, count=10_000):
        for _, fields in entries:
            total += len(fields[b"v"])
            seen += 1
        after = f"({entries[-1][0].decode()}"
    return _all(seen, count, total, size) / (time.monotonic() - started)


def redis_one(addr: str, topic: str, count: int, size: int) -> float:
    """``xadd``."""
    redis, value = _redis(addr), bytes(size)
    started = time.monotonic()
    for _ in range(count):
        redis.xadd(topic, {"v": value})
    return count / (time.monotonic() - started)


def _redis(addr: str) -> Any:
    from redis import Redis

    host, _, port = addr.rpartition(":")
    redis = Redis(host, int(port))
    redis.ping()
    return redis


async def nats_calls(addr: str, topic: str, count: int, size: int) -> float:
    """``publish`` to JetStream, so many under way."""
    sent = values(count, size)
    async with await _nats(addr) as connection:
        stream, left = await _stream(connection, topic), iter(sent)

        async def publish() -> None:
            for value in left:
                await stream.publish(topic, value)

        started = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for _ in range(IN_FLIGHT):
                group.create_task(publish())
        return count / (time.monotonic() - started)


async def nats_values(addr: str, topic: str, count: int, size: int) -> float:
    """An ordered consumer."""
    async with await _nats(addr) as connection:
        started, total = time.monotonic(), 0
        subscription = await connection.jetstream().subscribe(topic, ordered_consumer=True)
        for _ in range(count):
            total += len((await subscription.next_msg(10)).data)
        return _all(count, count, total, size) / (time.monotonic() - started)


async def nats_one(addr: str, topic: str, count: int, size: int) -> float:
    """``publish`` to JetStream."""
    async with await _nats(addr) as connection:
        stream, value = await _stream(connection, topic), bytes(size)
        started = time.monotonic()
        for _ in range(count):
            await stream.publish(topic, value)
        return count / (time.monotonic() - started)


async def _nats(addr: str) -> Any:
    import nats

    return await nats.connect(f"nats://{addr}")


async def _stream(connection: Any, topic: str) -> Any:
    stream = connection.jetstream()
    await stream.add_stream(name=topic, subjects=[topic])
    return stream


def _all(seen: int, count: int, total: int, size: int) -> int:
    assert seen >= count, f"{count - seen} records are missing"
    assert total >= count * size - size, "values are cut short"
    return seen


WORKS: dict[str, Callable[[str, str, int, int], float | Coroutine[Any, Any, float]]] = {
    work.__name__.replace("_", "-"): work
    for work in (
        proglog_calls, proglog_records, proglog_values, proglog_one, kafka_calls, kafka_values, kafka_one,
        redis_calls, redis_values, redis_one, nats_calls, nats_values, nats_one,
    )
}  # fmt: skip


def main() -> None:
    """Do one piece of work."""
    work, addr, topic, count, size = sys.argv[1:]
    rate = WORKS[work](addr, topic, int(count), int(size))
    print(rate if isinstance(rate, float) else uvloop.run(rate))


if __name__ == "__main__":
    main()
