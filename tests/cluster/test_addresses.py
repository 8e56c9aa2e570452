"""What members dial: never the wildcard that an agent listens on; without a route to the world, too."""

import asyncio


async def test_agents_that_listen_on_every_address_find_each_other_and_copy(open_cluster) -> None:
    async with open_cluster("ab", bind_addr="0.0.0.0:8401") as cluster:
        a, b = cluster
        for node in cluster:
            members = (await node.status()).members
            assert {member.addr for member in members} == {f"{each.host.addr}:8401" for each in (a, b)}
            assert {member.tags["rpc_addr"] for member in members} == {f"{each.host.addr}:8400" for each in (a, b)}
        async with a.client() as client:
            await client.produce_value(b"from a")
        await cluster.converged(within=10)
        assert len((await b.read()).seen) == 1


async def test_agents_behind_other_addresses_than_their_own_are_reached_at_those(open_cluster) -> None:
    """Each host has a second address, as behind a translating router: only that one is given to the others."""
    async with open_cluster("ab", start="") as cluster:
        for number, node in enumerate(cluster, 1):
            public = f"10.78.0.{number}"
            command = (*node.host.command, "ip", "address", "add", f"{public}/32", "dev", "lo")
            process = await asyncio.create_subprocess_exec(*command)
            assert await process.wait() == 0
            for other in cluster:
                if other is not node:
                    route = ("ip", "route", "add", f"{public}/32", "via", node.host.addr)
                    process = await asyncio.create_subprocess_exec(*other.host.command, *route)
                    assert await process.wait() == 0
            public_flags = {"advertise-addr": public, "rpc-advertise-addr": f"{public}:8400"}
            node.agent.flags = {**node.agent.flags, "bind-addr": "0.0.0.0:8401", **public_flags}
        await cluster.start()
        for node in cluster:
            addresses = {member.addr for member in (await node.status()).members}
            assert addresses == {"10.78.0.1:8401", "10.78.0.2:8401"}
        async with cluster.nodes["a"].client() as client:
            await client.produce_value(b"from a")
        await cluster.converged(within=10)
