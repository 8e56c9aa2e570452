"""The replication plane believes nothing that is not proved: real agents, mutual TLS, rules, and callers that lie."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import grpc.aio
import pytest

import proglog.client
from proglog.agent import replicator as replicator_module
from proglog.agent.agent import Agent
from proglog.agent.config import AgentConfig
from proglog.agent.pulling import pull
from proglog.api.v1 import replication_pb2 as pb
from proglog.api.v1 import replication_pb2_grpc
from proglog.client.channel import open_channel
from proglog.errors import PermissionDeniedError
from proglog.log.backup import opened
from proglog.replication.progress import Progress
from proglog.security.devcerts import DevCerts, create_dev_certs
from proglog.security.devrules import MODEL
from proglog.security.tls import TLSFiles
from proglog.types import NodeName, SequenceNumber
from proglog.wire.replication import Hello, ReplicationStream

Eventually = Callable[..., Awaitable[None]]
POLICY = """p, root, *, produce
p, root, *, consume
p, reader, *, consume
p, copier, *, replicate
p, peer, *, replicate
"""


class Site:
    """Certificates of one authority, rules, and agents under both."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.certs: DevCerts = create_dev_certs(
            directory / "certs", clients=("root", "peer", "reader", "copier", "none")
        )
        self.model, self.policy = directory / "model.conf", directory / "policy.csv"
        self.model.write_text(MODEL)
        self.policy.write_text(POLICY)
        self.agents: list[Agent] = []

    def tls(self, subject: str) -> TLSFiles:
        return self.certs.clients[subject]

    async def start(self, name: str, subject: str = "peer") -> Agent:
        seeds = tuple(agent.membership.addr for agent in self.agents[:1])
        config = AgentConfig(
            node_name=NodeName(name),
            data_dir=self.directory / name,
            bind_addr="127.0.0.1:0",
            rpc_port=0,
            start_join_addrs=seeds,
            server_tls=self.certs.server,
            peer_tls=self.tls(subject),
            acl_model_file=self.model,
            acl_policy_file=self.policy,
        )
        agent = await Agent.start(config)
        self.agents.append(agent)
        return agent


@pytest.fixture
async def site(tmp_path: Path) -> AsyncGenerator[Site]:
    made = Site(tmp_path)
    try:
        yield made
    finally:
        for agent in reversed(made.agents):
            await agent.shutdown()


@asynccontextmanager
async def stream_to(agent: Agent, tls: TLSFiles, name: str, **hello: bytes) -> AsyncGenerator[ReplicationStream]:
    """A replication stream that says it is ``name``'s."""
    async with open_channel(agent.view.rpc_addr, tls) as channel:
        said = Hello(name, hello.get("origin", b"o" * 16), b"i" * 16, token=hello.get("token", b"t" * 16))  # type: ignore[arg-type]
        stream = ReplicationStream(channel, said)
        try:
            yield stream
        finally:
            stream.close()


async def heard(stream: ReplicationStream, agent: Agent, tls: TLSFiles) -> None:
    """Return once the agent has taken in everything that was said on ``stream``: its answer to a want comes after."""
    stream.want(agent.log.origin, SequenceNumber(1), 0)
    async for received in stream:
        if received.batches:
            return


def copies(agent: Agent) -> int:
    held = agent.log.origins()[agent.log.origin]
    return agent.server._followers.copies(held.origin, held.next_sequence)


def events(agent: Agent) -> list[str]:
    return [event.kind for event in agent.view.snapshot(segments=False).events]


async def produce(agent: Agent, tls: TLSFiles, value: bytes) -> None:
    async with proglog.client.connect(agent.view.rpc_addr, tls=tls) as client:
        await client.produce_value(value)


@pytest.mark.parametrize("subject", ["reader", "none"])
async def test_who_only_consumes_is_no_follower(site: Site, subject: str) -> None:
    agent = await site.start("a")
    async with open_channel(agent.view.rpc_addr, site.tls(subject)) as channel:
        stub = replication_pb2_grpc.ReplicationStub(channel)
        call = stub.Replicate(iter([pb.ReplicateRequest(hello=pb.Hello(node_name="b", origin=b"o" * 16))]))
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call.read()
        assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED


@pytest.mark.parametrize("name", ["nobody-at-all", "b"])
async def test_what_a_caller_says_under_a_name_that_it_cannot_prove_is_no_copy(
    site: Site, eventually: Eventually, name: str
) -> None:
    """It may replicate, but it is not the process at that member's address."""
    a, b = await site.start("a"), await site.start("b")
    await eventually(lambda: a.server._followers.connected("b"), what="the real follower, proved")
    b.replicator.leave("a")  # it copies nothing from here on
    await eventually(lambda: not a.server._followers.connected("b"))
    await produce(a, site.tls("root"), b"here only")
    held = a.log.origins()[a.log.origin]

    async with stream_to(a, site.tls("copier"), name) as stream:
        stream.report([held, replace(held, next_sequence=SequenceNumber(held.next_sequence + 1000))])
        for token in (b"", b"t" * 16, b"guess" * 3):
            stream.hand_back(token)
        stream.report([held])
        await heard(stream, a, site.tls("copier"))

        assert copies(a) == 0
        assert not a.server._followers.connected(name)
        assert a.log.origin == held.origin

    b.replicator.join("a", a.view.rpc_addr)
    await eventually(lambda: copies(a) == 1, what="the copy that there is")


async def test_a_proved_member_that_lies_about_an_origin_changes_nothing(site: Site, eventually: Eventually) -> None:
    a, b = await site.start("a"), await site.start("b")
    await produce(a, site.tls("root"), b"one")
    await eventually(lambda: copies(a) == 1)
    held = a.log.origins()[a.log.origin]
    stream = b.replicator._peers["a"].stream
    assert stream is not None

    ahead = Progress(held.origin, SequenceNumber(held.next_sequence + 50), chain_crc=7)
    stream.report([ahead])
    await eventually(lambda: "own-origin-claimed" in events(a), what="the claim, reported")
    stream.report([replace(held, chain_crc=held.chain_crc ^ 1)])
    await produce(a, site.tls("root"), b"two")

    await eventually(lambda: copies(a) == 1, what="honest words count again")
    assert a.log.origin == held.origin
    assert "origin-started" not in events(a)


async def test_a_member_whose_subject_may_not_replicate_is_not_copied_from(
    site: Site, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its server has a certificate of the authority, and it joined by gossip."""
    monkeypatch.setattr(replicator_module, "PROOF_TIMEOUT", 0.5)
    a = await site.start("a")
    intruder = await site.start("intruder", subject="none")
    await produce(intruder, site.tls("root"), b"injected")

    await eventually(
        lambda: any(peer.name == "intruder" and "may replicate" in peer.failure for peer in a.replicator.peers()),
        what="why it is not copied from",
    )
    assert intruder.log.origin not in a.log.origins()


async def test_a_right_that_is_withdrawn_ends_copying_from_there_and_given_back_it_continues(
    site: Site, eventually: Eventually
) -> None:
    site.policy.write_text(POLICY + "p, none, *, replicate\n")
    a, b = await site.start("a"), await site.start("b", subject="none")
    await produce(b, site.tls("root"), b"one")
    await eventually(lambda: a.log.end_offset == 1)

    site.policy.write_text(POLICY)
    await eventually(lambda: not a.server._followers.connected("b"), timeout=10, what="the follower's end")
    await produce(b, site.tls("root"), b"two")
    with pytest.raises(PermissionDeniedError):
        await produce(b, site.tls("none"), b"x")
    await eventually(
        lambda: any(peer.failing and "not permitted to replicate" in peer.failure for peer in a.replicator.peers()),
        timeout=15,
    )
    assert a.log.end_offset == 1

    site.policy.write_text(POLICY + "p, none, *, replicate\n")
    await eventually(lambda: a.log.end_offset == 2, timeout=20, what="the record that it was not copied")


async def test_a_server_under_another_name_than_its_members_is_not_copied_from(
    site: Site, eventually: Eventually
) -> None:
    a, b = await site.start("a"), await site.start("b")
    a.replicator.join("c", b.view.rpc_addr)

    await eventually(
        lambda: any(
            peer.name == "c" and "is the server of 'b', not of c" in peer.failure for peer in a.replicator.peers()
        )
    )


async def test_a_backup_needs_the_right_to_replicate_and_counts_as_nobodys_copy(site: Site) -> None:
    agent = await site.start("a")
    await produce(agent, site.tls("root"), b"secret")
    for subject in ("copier", "reader", "none"):
        with opened(site.directory / f"backup-{subject}", "a") as backup:
            pulling = pull(
                backup.copier,
                agent.view.rpc_addr,
                site.tls(subject),
                check=lambda _: None,
                on_progress=lambda _: None,
                first_within=10,
            )
            if subject == "copier":
                assert (await pulling).node_name == "a"
                assert backup.copier.records == 1
                continue
            with pytest.raises(PermissionDeniedError):
                await pulling
            assert backup.copier.log.origins() == {}
    assert copies(agent) == 0
