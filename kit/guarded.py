"""A real agent with TLS and access rules, attacked by tests: what it holds, what it says, and connections to it."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import grpc
import grpc.aio

from proglog.security.devcerts import DevCerts, create_dev_certs
from proglog.security.devrules import create_gossip_key, create_rules
from proglog.security.tls import TLSFiles
from proglog.testing.processes import AgentProcess

CONNECTIONS = 20
RIGHTS = {"root": ("produce", "consume", "observe"), "reader": ("consume",), "operator": ("operate", "observe")}


class Guarded:
    """An agent with TLS and rules, and how much memory it has come to hold."""

    def __init__(self, agent: AgentProcess, certs: DevCerts) -> None:
        assert agent.process is not None
        self.agent, self.certs, self._process = agent, certs, Path(f"/proc/{agent.process.pid}")
        self._base = 0.0

    def measure(self) -> None:
        """Count from now."""
        (self._process / "clear_refs").write_text("5")
        self._base = self._mib("VmRSS")

    def grown_mib(self) -> float:
        """The most since then."""
        return self._mib("VmHWM") - self._base

    def calls_ended(self, method: str) -> int:
        """Calls that it has reported as ended."""
        lines = self.agent.telemetry.read_text().splitlines()
        return sum(method in line and ("rpc_refused" in line or "stream_finished" in line) for line in lines)

    def _mib(self, field: str) -> float:
        status = (self._process / "status").read_text()
        return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith(field))

    @asynccontextmanager
    async def channels(self, name: str, count: int = CONNECTIONS) -> AsyncIterator[list[grpc.aio.Channel]]:
        """So many connections of one client."""
        files: TLSFiles = self.certs.clients[name]
        pem = (files.ca_file.read_bytes(), files.key_file.read_bytes(), files.cert_file.read_bytes())
        async with AsyncExitStack() as stack:
            yield [
                await stack.enter_async_context(
                    grpc.aio.secure_channel(
                        self.agent.rpc_addr,
                        grpc.ssl_channel_credentials(*pem),
                        options=[
                            ("grpc.use_local_subchannel_pool", 1),
                            ("grpc.max_send_message_length", -1),
                            ("grpc.max_receive_message_length", -1),
                            ("grpc.http2.bdp_probe", 0),
                        ],
                    )
                )
                for _ in range(count)
            ]


@contextmanager
def guarded_agent(directory: Path, *, gossip_key: bool = False) -> Iterator[Guarded]:
    """Run one in ``directory``, with or without a gossip key. ``RIGHTS`` says who may do what; "stranger" has a certificate and no right."""
    certs = create_dev_certs(directory / "certs", clients=(*RIGHTS, "stranger"))
    model, policy, _ = create_rules(directory / "rules", RIGHTS)
    flags = {"acl-model-file": str(model), "acl-policy-file": str(policy), "fsync": "os"}
    for side, files in (("server", certs.server), ("peer", certs.peer)):
        for part, path in (("cert", files.cert_file), ("key", files.key_file), ("ca", files.ca_file)):
            flags[f"{side}-tls-{part}-file"] = str(path)
    if gossip_key:
        flags["encrypt-file"] = str(create_gossip_key(directory))
    with AgentProcess("a", directory, flags=flags) as agent:
        yield Guarded(agent, certs)
