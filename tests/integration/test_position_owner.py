"""A named position has an owner, bounded size, and a repair."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from proglog.agent.writer import LogWriter
from proglog.client import connect
from proglog.client.client import Client
from proglog.client.cursor import Cursor
from proglog.errors import PermissionDeniedError, PreconditionError, TooManyPositionsError
from proglog.log.log import Log
from proglog.log.named_positions import MAX_ORIGINS_IN_ALL
from proglog.record.control import MAX_POSITION_ORIGINS
from proglog.security.authorizer import CasbinAuthorizer
from proglog.security.devcerts import create_dev_certs
from proglog.security.devrules import create_rules
from proglog.server.position_service import MAX_EPOCH
from proglog.server.server import Server
from proglog.types import NodeName, OriginId, SequenceNumber

HERE = Cursor({OriginId(b"o" * 16): SequenceNumber(7)})


@pytest.fixture
async def clients(tmp_path: Path) -> AsyncGenerator[tuple[Client, Client, Client]]:
    """Two consumers, and an operator."""
    names = ("alice", "mallory", "operator")
    certs = create_dev_certs(tmp_path / "certs", clients=names)
    rights = {"alice": ("consume",), "mallory": ("consume",), "operator": ("operate", "consume")}
    model, policy, _ = create_rules(tmp_path / "rules", rights)
    log = Log.open(tmp_path / "data", node_name=NodeName("a"))
    async with LogWriter(log) as writer:
        server = Server(commit_log=writer, authorizer=CasbinAuthorizer(model, policy), tls=certs.server)
        port = await server.start("127.0.0.1:0")
        async with AsyncExitStack() as stack:
            alice, mallory, operator = [
                await stack.enter_async_context(connect(f"127.0.0.1:{port}", tls=certs.clients[name])) for name in names
            ]
            yield alice, mallory, operator
        await server.stop(0.2)
    log.close()


async def test_another_subject_does_not_commit_a_position(clients: tuple[Client, Client, Client]) -> None:
    alice, mallory, _ = clients
    await alice.commit_position("nightly", HERE)
    with pytest.raises(PermissionDeniedError, match="nightly"):
        await mallory.commit_position("nightly", Cursor({}), epoch=MAX_EPOCH)
    (held,) = await mallory.positions("nightly")
    assert (held.owner, held.epoch, held.cursor) == ("alice", 0, HERE)
    await alice.commit_position("nightly", HERE, epoch=1)


async def test_an_operator_repairs_what_shuts_a_consumer_out(clients: tuple[Client, Client, Client]) -> None:
    alice, mallory, operator = clients
    await mallory.commit_position("nightly", HERE, epoch=MAX_EPOCH)
    with pytest.raises(PermissionDeniedError):
        await alice.reset_position("nightly")
    epoch = await operator.reset_position("nightly")
    assert epoch == MAX_EPOCH + 1
    with pytest.raises(PreconditionError, match="started over"):
        await mallory.commit_position("nightly", HERE, epoch=MAX_EPOCH)
    await alice.commit_position("nightly", HERE, epoch=epoch)
    (held,) = await alice.positions("nightly")
    assert (held.owner, held.epoch, held.cursor) == ("alice", epoch, HERE)


async def test_all_positions_together_are_bounded_and_can_be_listed(clients: tuple[Client, Client, Client]) -> None:
    alice, *_ = clients
    wide = Cursor(
        {OriginId(number.to_bytes(16, "big")): SequenceNumber(1) for number in range(1, MAX_POSITION_ORIGINS + 1)}
    )
    names = [f"wide-{number}" for number in range(MAX_ORIGINS_IN_ALL // MAX_POSITION_ORIGINS)]
    for name in names:
        await alice.commit_position(name, wide)
    with pytest.raises(TooManyPositionsError, match=f"{MAX_ORIGINS_IN_ALL:,} origins"):
        await alice.commit_position("one-more", wide)
    await alice.commit_position(names[0], wide)
    assert len(await alice.positions()) == len(names)
