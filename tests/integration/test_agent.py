"""Agents in one process over real sockets, with mutual TLS and the book's rules."""

import asyncio
import errno
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

import proglog.client
from proglog.addr import split_addr
from proglog.agent.agent import Agent
from proglog.agent.config import AgentConfig
from proglog.client import Client
from proglog.client.cursor import Cursor
from proglog.client.offset_spec import OffsetSpec
from proglog.errors import ConfigError, DataDirLockedError, OffsetOutOfRangeError, PermissionDeniedError, ProglogError
from proglog.log.log import Log
from proglog.observe.health import Severity, findings
from proglog.security.devcerts import DevCerts, create_dev_certs
from proglog.security.tls import TLSFiles
from proglog.types import NodeName, SequenceNumber

Eventually = Callable[..., Awaitable[None]]


@asynccontextmanager
async def cluster(size: int, data_dir: Path, certs: DevCerts, acl: tuple[Path, Path]) -> AsyncGenerator[list[Agent]]:
    """Agents ``0``, ``1``, ... that joined through the first."""
    agents: list[Agent] = []
    try:
        for index in range(size):
            seeds = (agents[0].membership.addr,) if agents else ()
            started = config(str(index), data_dir / str(index), certs, acl, start_join_addrs=seeds)
            agents.append(await Agent.start(started))
        yield agents
    finally:
        for agent in reversed(agents):
            await agent.shutdown()


def config(name: str, data_dir: Path, certs: DevCerts, acl: tuple[Path, Path], **options: object) -> AgentConfig:
    return AgentConfig(
        node_name=name,
        data_dir=data_dir,
        bind_addr="127.0.0.1:0",
        rpc_port=0,
        server_tls=certs.server,
        peer_tls=certs.peer,
        acl_model_file=acl[0],
        acl_policy_file=acl[1],
        **options,  # type: ignore[arg-type]
    )


def client_of(agent: Agent, tls: TLSFiles) -> Client:
    return proglog.client.connect(agent.view.rpc_addr, tls=tls)


async def values_of(agent: Agent, tls: TLSFiles) -> list[bytes]:
    async with client_of(agent, tls) as client:
        stream = client.consume(OffsetSpec.after_start(0))
        return [value async for fetched in stream for value in fetched.values()]


async def test_agents_on_ipv6_show_addresses_that_every_command_takes(tmp_path: Path, eventually: Eventually) -> None:
    first = await Agent.start(
        AgentConfig(node_name=NodeName("0"), data_dir=tmp_path / "0", bind_addr="[::1]:0", rpc_port=0)
    )
    seeds = (first.membership.addr,)
    second = await Agent.start(
        AgentConfig(
            node_name=NodeName("1"), data_dir=tmp_path / "1", bind_addr="[::1]:0", rpc_port=0, start_join_addrs=seeds
        )
    )
    try:
        await eventually(lambda: len(first.membership.members()) == 2, what="two members")
        async with proglog.client.connect(first.view.rpc_addr) as client:
            members = (await client.status()).members

        assert {split_addr(addr, "shown")[0] for m in members for addr in (m.addr, m.rpc_addr)} == {"::1"}
        for member in members:
            async with proglog.client.connect(member.rpc_addr) as client:
                assert (await client.status()).node.name == member.name
    finally:
        await second.shutdown()
        await first.shutdown()


async def test_an_agent_that_has_stopped_listens_no_more(tmp_path: Path) -> None:
    agent = await Agent.start(
        AgentConfig(node_name=NodeName("a"), data_dir=tmp_path, bind_addr="127.0.0.1:0", rpc_port=0)
    )
    host, _, port = agent.view.rpc_addr.rpartition(":")

    with capture_logs() as logs:
        await agent.shutdown()

    assert [log for log in logs if log["event"] == "agent_stop_step_failed"] == []
    with socket.socket() as dialling:
        assert dialling.connect_ex((host, int(port))) == errno.ECONNREFUSED


async def test_what_is_produced_at_the_first_is_read_from_the_second_and_copied_once_everywhere(
    tmp_path: Path, dev_certs: DevCerts, acl_files: tuple[Path, Path], eventually: Eventually
) -> None:
    root = dev_certs.clients["root"]
    async with cluster(3, tmp_path, dev_certs, acl_files) as agents:
        async with client_of(agents[0], root) as leader, client_of(agents[1], root) as follower:
            offset = await leader.produce_value(b"foo")
            assert await leader.consume_value(offset) == b"foo"
            await eventually(lambda: agents[1].log.end_offset > offset, what="the copy on the follower")
            assert await follower.consume_value(offset) == b"foo"

            with pytest.raises(OffsetOutOfRangeError):
                await leader.consume_value(offset + 1)

        await eventually(lambda: all(agent.log.end_offset == 1 for agent in agents), what="a copy everywhere")
        for number, agent in enumerate(agents):  # the original grew by hundreds of copies while these went round
            async with client_of(agent, root) as client:
                await client.produce_value(b"round %d" % number)
            end = agent.log.end_offset
            await eventually(lambda end=end: all(agent.log.end_offset >= end for agent in agents), what="copies")
        held = [await values_of(agent, root) for agent in agents]
        assert [values[0] for values in held] == [b"foo"] * 3
        assert all(len(values) == len(set(values)) == 4 for values in held)


async def test_records_of_every_node_reach_every_node_once(
    tmp_path: Path, dev_certs: DevCerts, acl_files: tuple[Path, Path], eventually: Eventually
) -> None:
    root = dev_certs.clients["root"]
    async with cluster(3, tmp_path, dev_certs, acl_files) as agents:
        for number, agent in enumerate(agents):
            async with client_of(agent, root) as client, client.producer() as producer:
                await producer.send_values([b"%d-%d" % (number, index) for index in range(500)])

        await eventually(lambda: all(agent.log.end_offset == 1500 for agent in agents), what="1500 records everywhere")
        everywhere = [await values_of(agent, root) for agent in agents]

        assert all(len(set(values)) == 1500 for values in everywhere)
        for number in range(3):
            expected = [b"%d-%d" % (number, index) for index in range(500)]
            for values in everywhere:
                assert [value for value in values if value.startswith(b"%d-" % number)] == expected


async def test_a_subject_without_a_rule_is_denied_by_name(
    tmp_path: Path, dev_certs: DevCerts, acl_files: tuple[Path, Path]
) -> None:
    async with cluster(1, tmp_path, dev_certs, acl_files) as agents:
        async with client_of(agents[0], dev_certs.clients["nobody"]) as client:
            with pytest.raises(PermissionDeniedError, match=r"nobody not permitted to produce to \*"):
                await client.produce_value(b"x")
            with pytest.raises(PermissionDeniedError, match=r"nobody not permitted to consume to \*"):
                await client.consume_value(0)


async def test_changed_rules_and_certificates_are_events_and_those_refused_are_findings(
    tmp_path: Path, acl_files: tuple[Path, Path], eventually: Eventually
) -> None:
    certs = create_dev_certs(tmp_path / "certs")
    policy = tmp_path / "policy.csv"
    policy.write_text(acl_files[1].read_text())
    root = certs.clients["root"]

    async def seen(kind: str) -> bool:
        async with client_of(agents[0], root) as client:  # a connection of its own: that is when files are looked at
            return kind in [event.kind for event in (await client.status()).events]

    def refused() -> dict[str, Severity]:
        found = findings(agents[0].view.snapshot(segments=False))
        return {each.rule: each.severity for each in found if each.rule in ("policy", "certificate-rejected")}

    async with cluster(1, tmp_path, certs, (acl_files[0], policy)) as agents:
        served_until = agents[0].view.snapshot(segments=False).node.certificate_expires_at_ms
        policy.write_text("p, broken\n")
        await eventually(lambda: seen("policy-rejected"), what="refused rules")
        assert refused() == {"policy": Severity.WARNING}
        held = agents[0].view.snapshot(segments=False).node.policy
        assert (held.generation, held.wanted, "policy.csv line 1" in held.refused) == (1, 2, True)
        policy.write_text(acl_files[1].read_text())
        await eventually(lambda: seen("policy-reloaded"), what="new rules")
        held = agents[0].view.snapshot(segments=False).node.policy
        assert (held.generation, held.wanted, held.refused) == (3, 3, "")
        assert refused() == {}
        of_another_key = certs.add_server("short", lifetime=timedelta(days=3)).cert_file
        certs.server.cert_file.write_bytes(of_another_key.read_bytes())
        await eventually(lambda: seen("certificate-rejected"), what="a refused certificate")
        assert refused() == {"certificate-rejected": Severity.WARNING}
        node = agents[0].view.snapshot(segments=False).node
        assert node.certificate_expires_at_ms == served_until
        assert (node.certificate.generation, node.certificate.wanted) == (1, 2)
        assert "is not the key of" in node.certificate.refused


async def test_named_positions_and_removing_members_are_rights_of_their_own(
    tmp_path: Path, dev_certs: DevCerts, acl_files: tuple[Path, Path]
) -> None:
    async with cluster(2, tmp_path, dev_certs, acl_files) as agents:
        async with client_of(agents[0], dev_certs.clients["root"]) as client:
            async with client.producer(acks=2) as producer:
                await producer.send_values([b"x"])
            cursor = Cursor({agents[0].log.origin: SequenceNumber(2)})
            await client.commit_position("nightly", cursor, acks=2, ack_timeout=5)
            with pytest.raises(PermissionDeniedError, match=r"root not permitted to operate to \*"):
                await client.force_leave("1")
        async with client_of(agents[1], dev_certs.clients["root"]) as client:
            assert [(each.name, each.cursor) for each in await client.positions()] == [("nightly", cursor)]
        async with client_of(agents[1], dev_certs.clients["nobody"]) as client:
            with pytest.raises(PermissionDeniedError, match=r"nobody not permitted to consume to \*"):
                await client.positions()
            with pytest.raises(PermissionDeniedError, match=r"nobody not permitted to consume to \*"):
                await client.commit_position("nightly", cursor, acks=1)


async def test_a_client_without_a_certificate_is_refused_at_the_handshake(
    tmp_path: Path, dev_certs: DevCerts, acl_files: tuple[Path, Path]
) -> None:
    async with cluster(1, tmp_path, dev_certs, acl_files) as agents:
        async with proglog.client.connect(agents[0].view.rpc_addr, timeout=2) as client:
            with pytest.raises(ProglogError):
                await client.produce_value(b"x")

        assert agents[0].log.end_offset == 0


async def test_shutting_down_twice_and_at_once_is_one_shutdown(
    tmp_path: Path, dev_certs: DevCerts, acl_files: tuple[Path, Path]
) -> None:
    async with cluster(1, tmp_path, dev_certs, acl_files) as agents:
        await asyncio.gather(agents[0].shutdown(), agents[0].shutdown())
        await agents[0].shutdown()

        assert agents[0].log.state == "closed"
        assert agents[0].stopped.is_set()


async def test_when_the_server_fails_the_agent_shuts_down(
    tmp_path: Path, dev_certs: DevCerts, acl_files: tuple[Path, Path]
) -> None:
    async with cluster(1, tmp_path, dev_certs, acl_files) as agents:
        ended = agents[0].server._server
        assert ended is not None
        await ended.stop(0)

        async with asyncio.timeout(5):
            await agents[0].stopped.wait()
        assert agents[0].log.state == "closed"
        assert agents[0].failure is not None
        assert agents[0].failure.task == "agent-server-watch"


async def test_a_taken_port_is_named_and_leaves_nothing_running(
    tmp_path: Path, dev_certs: DevCerts, acl_files: tuple[Path, Path]
) -> None:
    async with cluster(1, tmp_path, dev_certs, acl_files) as agents:
        port = int(agents[0].view.rpc_addr.rpartition(":")[2])
        second = AgentConfig(node_name="b", data_dir=tmp_path / "b", bind_addr="127.0.0.1:0", rpc_port=port)

        with pytest.raises(ConfigError, match=str(port)):
            await Agent.start(second)

        log = Log.open(second.data_dir, node_name=NodeName("b"))
        assert log.recovery.clean, "it was not closed in order"
        log.close()


async def test_a_data_directory_has_one_agent(
    tmp_path: Path, dev_certs: DevCerts, acl_files: tuple[Path, Path]
) -> None:
    async with cluster(1, tmp_path, dev_certs, acl_files):
        with pytest.raises(DataDirLockedError, match="locked"):
            await Agent.start(config("b", tmp_path / "0", dev_certs, acl_files))


async def test_a_restarted_agent_keeps_its_records_and_is_copied_from_where_it_was(
    tmp_path: Path, dev_certs: DevCerts, acl_files: tuple[Path, Path], eventually: Eventually
) -> None:
    root = dev_certs.clients["root"]
    async with cluster(2, tmp_path, dev_certs, acl_files) as agents:
        async with client_of(agents[1], root) as client:
            await client.produce_value(b"before")
        await eventually(lambda: agents[0].log.end_offset == 1)
        await agents[1].shutdown()

        seeds = (agents[0].membership.addr,)
        agents[1] = await Agent.start(config("1", tmp_path / "1", dev_certs, acl_files, start_join_addrs=seeds))
        async with client_of(agents[1], root) as client:
            await client.produce_value(b"after")

        await eventually(lambda: agents[0].log.end_offset == 2, what="the new record on the other node")
        assert await values_of(agents[0], root) == [b"before", b"after"]


async def test_a_joiner_gets_the_records_of_a_node_that_is_gone(
    tmp_path: Path, dev_certs: DevCerts, acl_files: tuple[Path, Path], eventually: Eventually
) -> None:
    root = dev_certs.clients["root"]
    async with cluster(2, tmp_path, dev_certs, acl_files) as agents:
        async with client_of(agents[1], root) as client:
            await client.produce_value(b"legacy")
        await eventually(lambda: agents[0].log.end_offset == 1)
        await agents[1].shutdown()

        seeds = (agents[0].membership.addr,)
        agents.append(await Agent.start(config("2", tmp_path / "2", dev_certs, acl_files, start_join_addrs=seeds)))

        await eventually(lambda: agents[2].log.end_offset == 1, what="the dead node's record on the joiner")
        assert await values_of(agents[2], root) == [b"legacy"]
