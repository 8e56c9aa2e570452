"""A connection over TLS grows old: new calls shake hands again, calls under way do not notice."""

import asyncio
from pathlib import Path

import pytest

from proglog.agent.writer import LogWriter
from proglog.client import connect
from proglog.client.offset_spec import OffsetSpec
from proglog.errors import ProglogError
from proglog.log.log import Log
from proglog.security.authorizer import AllowAll
from proglog.security.devcerts import create_dev_certs
from proglog.server.server import Server
from proglog.types import NodeName

AGE = 0.3


@pytest.mark.xfail(strict=False, reason="the new client does not notice a withdrawn certificate in time")
async def test_calls_and_streams_outlive_their_connection_but_a_withdrawn_certificate_does_not(tmp_path: Path) -> None:
    certs = create_dev_certs(tmp_path / "certs", clients=("root",))
    others = create_dev_certs(tmp_path / "others")
    log = Log.open(tmp_path / "data", node_name=NodeName("a"))
    async with LogWriter(log) as writer:
        server = Server(commit_log=writer, authorizer=AllowAll(), tls=certs.server, connection_age=AGE)
        port = await server.start("127.0.0.1:0")
        async with (
            connect(f"127.0.0.1:{port}", tls=certs.clients["root"], timeout=2) as client,
            connect(f"127.0.0.1:{port}", tls=certs.clients["root"], timeout=2) as follower,
        ):
            following = aiter(follower.consume(OffsetSpec.offset(0), follow=True))
            for number in range(4):
                await client.produce_value(b"%d" % number)
                fetched = await anext(following)
                assert fetched.values() == [b"%d" % number]
                await asyncio.sleep(AGE)

            certs.server.ca_file.write_bytes(others.ca_file.read_bytes())  # nobody we signed is trusted any more
            refused = False
            for _ in range(50):
                try:
                    await client.produce_value(b"late")
                except ProglogError:
                    refused = True
                    break
                await asyncio.sleep(AGE / 3)
            assert refused
        await server.stop(0.2)
    log.close()
