"""A web service that answers when its record is durable: ``curl -d hello http://127.0.0.1:8080/``.

One producer for the process, opened with it; each handler waits for its own record. 201 with the record's place, 503 with
``Retry-After`` while agents are away, 500 when the outcome is unknown. SIGTERM: no new requests, those under way get their
answer, then the producer is drained.

Addresses and TLS files: PROGLOG_ADDR (several with commas), PROGLOG_TLS_*. The port: WEB_PORT, 8080.
"""

import asyncio
import json
import logging
import os
import signal
from collections.abc import Mapping

from proglog.client import NotWrittenError, ProduceError, Producer, ProglogError, Record, connect

MAX_BODY_BYTES = 1 << 20


async def answer(producer: Producer, body: bytes) -> tuple[str, Mapping[str, object]]:
    """Return status and content of one request."""
    try:
        written = await producer.send_and_wait(Record(value=body))
    except NotWrittenError as exc:
        return ("503 Service Unavailable" if exc.retriable else "400 Bad Request"), {"error": str(exc)}
    except ProduceError as exc:  # it may be in the log: the caller must not simply try again
        return "500 Internal Server Error", {"error": str(exc), "unknown": True}
    except ProglogError as exc:
        return ("503 Service Unavailable" if exc.retriable else "400 Bad Request"), {"error": str(exc)}
    return "201 Created", {"offset": written.offset, "origin": written.origin.hex(), "sequence": written.sequence}


async def handle(producer: Producer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Serve one request of one connection."""
    try:
        async with asyncio.timeout(30):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            lengths = [
                line.partition(":")[2] for line in head.split("\r\n") if line.lower().startswith("content-length:")
            ]
            length = int(lengths[0]) if lengths else 0
            content: Mapping[str, object]
            if not 0 <= length <= MAX_BODY_BYTES:
                status, content = "413 Content Too Large", {"error": f"at most {MAX_BODY_BYTES} bytes"}
            else:
                status, content = await answer(producer, await reader.readexactly(length))
            text = json.dumps(content).encode()
            retry = "Retry-After: 1\r\n" if status.startswith("503") else ""
            writer.write(
                f"HTTP/1.1 {status}\r\nContent-Length: {len(text)}\r\n{retry}Connection: close\r\n\r\n".encode()
            )
            writer.write(text)
            await writer.drain()
    except (ValueError, OSError, EOFError, asyncio.LimitOverrunError, TimeoutError) as exc:
        logging.info("a request broke off: %r", exc)
    finally:
        writer.close()


async def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    logging.basicConfig(level=logging.INFO)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    under_way: set[asyncio.Task[None]] = set()
    async with connect(timeout=5) as client, client.producer() as producer:

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            under_way.add(task)
            task.add_done_callback(under_way.discard)
            await handle(producer, reader, writer)

        server = await asyncio.start_server(serve, "127.0.0.1", int(os.environ.get("WEB_PORT", "8080")))
        port = server.sockets[0].getsockname()[1]
        print(f"listening on http://127.0.0.1:{port}/", flush=True)
        await stop.wait()
        server.close()
        await asyncio.gather(*under_way)
        counts = await producer.close()
    print(f"{counts.acknowledged} records acknowledged, {counts.unknown} of unknown outcome", flush=True)


asyncio.run(main())
